"""`generate.py` as its user runs it."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli import generate, main
from snac_plugin.cli.arguments import request_from
from snac_plugin.errors import UsageError
from snac_plugin.generation.request import Request
from snac_plugin.plugin import builders

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unwrapped checkpoint with its config inside."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = tiny_model_config(write_tiny_codec(folder / "codec"))
    (folder / "config.json").write_text(json.dumps(config))
    model = builders.model(config)
    for parameter in model.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    torch.save({"state_dict": model.state_dict(), "model_config": config}, folder / "model.ckpt")
    torch.save({"state_dict": model.state_dict()}, folder / "bare.ckpt")
    return folder / "model.ckpt"


def run(*arguments: Any) -> int:
    return main(["generate", *map(str, arguments)])


def test_the_script_writes_wav_picture_and_settings_and_says_where(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as a script, though in this process: what a fresh one needs is seen where a full disk stops it."""
    command = ["generate.py", "--ckpt", checkpoint, "--out", tmp_path, "--seed", 42, "--steps", "A=1,B=2,C=1,D=2"]
    monkeypatch.setattr(sys, "argv", [*map(str, command)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "generate.py"), run_name="__main__")
    assert not ended.value.code
    ran = capsys.readouterr()
    for line in ("seed 42", f"wav      {tmp_path}/seed_42.wav", f"picture  {tmp_path}/seed_42.png"):
        assert line in ran.out.splitlines()
    assert "level D" in ran.err
    assert "6/6" in ran.err
    assert soundfile.info(tmp_path / "seed_42.wav").frames == 12288
    noted = json.loads((tmp_path / "seed_42.json").read_text())
    assert noted["steps"] == {"A": 1, "B": 2, "C": 1, "D": 2}
    assert noted["checkpoint"] == str(checkpoint)


def test_the_same_seed_gives_the_same_wav_bit_for_bit(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("--ckpt-path", checkpoint, "--out", tmp_path / name, "--seed", 3) == 0
    assert (tmp_path / "a/seed_3.wav").read_bytes() == (tmp_path / "b/seed_3.wav").read_bytes()


def test_without_a_seed_the_one_drawn_is_printed_and_gives_the_sample_again(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--ckpt", checkpoint, "--out", tmp_path / "a")
    seed = capsys.readouterr().out.splitlines()[0].removeprefix("seed ")
    run("--ckpt", checkpoint, "--out", tmp_path / "b", "--seed", seed)
    assert (tmp_path / f"a/seed_{seed}.wav").read_bytes() == (tmp_path / f"b/seed_{seed}.wav").read_bytes()


def test_num_samples_are_made_in_batches(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--ckpt", checkpoint, "--out", tmp_path, "--seed", 1, "--num", 3, "--batch-size", 2, "--seconds", 0.5)
    assert capsys.readouterr().out.startswith("seeds 1 to 3\n")
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["seed_1.wav", "seed_2.wav", "seed_3.wav"]
    assert soundfile.info(tmp_path / "seed_3.wav").frames == 16000


def test_a_checkpoint_without_a_config_takes_one_from_a_file(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = checkpoint.with_name("bare.ckpt")
    assert run("--ckpt", bare, "--out", tmp_path) == 1
    assert "no model config inside" in capsys.readouterr().err
    assert run("--ckpt", bare, "--out", tmp_path, "--model-config", checkpoint.with_name("config.json")) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ckpt", "nowhere.ckpt"], "nowhere.ckpt: found no such file"),
        (["--device", "abacus"], "--device: found 'abacus', expected one of"),
        (["--num", "0"], "--num: found 0, expected 1 or more"),
        (["--seed", "-7"], "--seed: found -7"),
        (["--sampler", "rk5"], 'Did you mean "rk4"?'),
        (["--steps", "A=1"], "steps"),
        (["--prompt", "techno"], "the key 'prompt'"),
        (["--condition", "tempo=120"], "the key 'tempo'"),
        (["--guidance", "style=2"], "guidance: found 'style', expected none: this model has no conditions"),
        (["--seconds", "-1"], "seconds"),
        (["--cfg-scale", "nan"], "--cfg-scale: found nan, expected a number from 0 up"),
        (["--continue", "nowhere.wav"], "nowhere.wav: found no such file"),
        (["--continue", "."], ".: found a folder"),
        (["--out", __file__], "which is a file, expected a folder"),
    ],
)
def test_a_mistake_gives_one_line_that_says_what_to_mend(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = arguments if arguments[0] == "--ckpt" else ["--ckpt", str(checkpoint), *arguments]
    assert run("--out", tmp_path, *given) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not list(tmp_path.glob("*.wav"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "many"], "found 'many', expected 48, or A=6"),
        (["--steps", "A=3,B=2,A=4"], "with one entry a level"),
        (["--conditioning", "{tempo: 3}"], "expected a JSON object"),
        (["--condition", "tempo"], "found 'tempo', expected a condition and its value: tempo=120"),
        (["--guidance", "style=much"], "found 'style=much', expected a condition and its scale: style=3"),
        (["--seconds", "3", "--chunks", "2"], "not allowed with argument"),
    ],
)
def test_an_argument_that_cannot_be_read_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("--ckpt", "a.ckpt", *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "steps"), [("48", 48), ("6,8,10,24", [6, 8, 10, 24]), ("a=6, B=8", {"A": 6, "B": 8})], ids=["once", "listed", "named"]
)
def test_steps_are_read_in_all_their_forms(text: str, steps: Any) -> None:
    assert generate.parser().parse_args(["--ckpt", "a", "--steps", text]).steps == steps


@pytest.mark.parametrize("arguments", [["--steps", "A=1"], ["--sampler", "v-ddim"], ["--prompt", "techno"], ["--steps", "3"]])
def test_what_the_config_forbids_is_refused_before_the_model_is_built(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(builders, "model", lambda config: pytest.fail("the model was built"))
    assert run("--ckpt", checkpoint, "--out", tmp_path, *arguments) == 1


def test_conditions_and_scales_come_one_flag_each() -> None:
    """Several flags make one object, over that of the JSON flag; text stays text until its conditioner reads it."""
    flags = ["--conditioning", '{"tempo": 90, "key": "A minor"}', "--condition", "style=house:0.7,jazz:0.3"]
    flags += ["--condition", "tempo=120"]
    flags += ["--guidance", "context=2", "--guidance", "style=3,tempo=1.5", "--negative-condition", "quality=very low"]
    request = request_from(generate.parser().parse_args(flags))
    assert request.conditioning == {"tempo": "120", "key": "A minor", "style": "house:0.7,jazz:0.3"}
    assert request.negative_conditioning == {"quality": "very low"}
    assert request.guidance == {"context": 2.0, "style": 3.0, "tempo": 1.5}
    assert request_from(generate.parser().parse_args([])) == Request()
    for twice in (["--guidance", "style=3", "--guidance", "style=2"], ["--condition", "tempo=1", "--condition", "tempo=2"]):
        with pytest.raises(UsageError, match="twice, expected each key once"):
            request_from(generate.parser().parse_args(twice))


def test_ctrl_c_keeps_what_is_finished(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snac_plugin.generation.snac_diffusion import SnacDiffusion

    real, calls = SnacDiffusion.stream, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(SnacDiffusion, "stream", interrupted)
    assert run("--ckpt", checkpoint, "--out", tmp_path, "--seed", 1, "--num", 3) == 130
    assert "stopped" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("*.wav")] == ["seed_1.wav"]


def test_flags_that_would_do_nothing_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is new, where all is new; settings that are none. Both before a model is loaded."""
    assert run("--only-new", "--out", tmp_path) != 0
    assert "--only-new" in capsys.readouterr().err
    assert run("--width", "keep", "--out", tmp_path) != 0
    assert "--width: found no recording, expected --continue" in capsys.readouterr().err
    (tmp_path / "dataset.json").write_text('{"dataset_type": "audio_dir"}')
    assert run("--settings", tmp_path / "dataset.json", "--out", tmp_path) != 0
    assert "names no seed" in capsys.readouterr().err


def test_a_wrong_checkpoint_is_told_before_torch_is_imported() -> None:
    code = "import sys; from snac_plugin.cli import main; failed = main(['generate', '--ckpt', 'snac_dit_tinny']); "
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}assert failed; assert 'torch' not in sys.modules"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert 'Did you mean "snac_dit_tiny"?' in ran.stderr
