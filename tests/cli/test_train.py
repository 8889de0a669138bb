"""`train.py` as its user runs it, and its checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import prepare, run
from tiny import CHUNK_FRAMES

import snac_plugin
from snac_plugin.cli import main
from snac_plugin.errors import CheckpointError, ConfigError, UsageError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHUNK = CHUNK_FRAMES * 3072


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def flags(folder: Path) -> list[str]:
    return prepare(folder)


@pytest.fixture(scope="module")
def trained(folder: Path, flags: list[str]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Two steps by the script itself, with a demo after the first, where only the script registers the plugin."""
    more = ["--max-steps", "2", "--save-dir", str(folder / "run"), "--batch-size", "2", "--accelerator", "cpu"]
    ran = subprocess.run(
        [sys.executable, "train.py", *flags, *more],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "SNAC_PLUGIN_AUTOLOAD": "0"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return ran, folder / "run" / "checkpoints" / "step=00000002.ckpt"


def test_the_script_trains_and_says_where_the_checkpoint_lies(trained: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    ran, checkpoint = trained
    assert f"checkpoint: {checkpoint}" in ran.stdout.splitlines()
    assert checkpoint.is_file()
    assert "step 0: phase all levels" in ran.stderr
    assert "2/2" in ran.stdout + ran.stderr
    for level in "ABCD":
        assert f"{level}=" in ran.stdout + ran.stderr


def test_demos_and_logs_lie_in_the_run_folder(trained: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """The first demo comes after the first step: what is wrong with demos shows at once."""
    demos = trained[1].parents[1] / "demos" / "step_00000001"
    names = sorted(path.name for path in demos.iterdir())
    assert names == [f"{name}.{ending}" for name in ("codec_round_trip", "demo_cfg_1_0") for ending in ("json", "png", "wav")]
    assert json.loads((demos / "demo_cfg_1_0.json").read_text())["step"] == 1
    assert list((trained[1].parents[1] / "tensorboard").glob("events*"))


def test_its_checkpoint_generates(trained: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    model = snac_plugin.load_model(trained[1])
    audio = model.generate(chunks=2, seed=1, progress=False)
    assert audio.shape == (1, 1, 2 * CHUNK)
    assert audio.isfinite().all()


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_unwrapped_it_gives_the_same_audio(
    trained: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    """The flags of stable-audio-tools' unwrap_model.py; the averaged weights, and nothing of the optimizer."""
    name = str(tmp_path / "model")
    more = ["--use-safetensors"] if ending == "safetensors" else []
    assert main(["unwrap", "--ckpt-path", str(trained[1]), "--name", name, *more]) == 0
    assert f"model: {name}.{ending}" in capsys.readouterr().out
    assert Path(f"{name}.{ending}").stat().st_size < trained[1].stat().st_size / 2
    before, after = snac_plugin.load_model(trained[1]), snac_plugin.load_model(f"{name}.{ending}")
    first, second = (model.generate(seed=1, progress=False) for model in (before, after))
    assert torch.equal(first, second)


def test_one_folder_holds_one_run(flags: list[str], tmp_path: Path) -> None:
    """Or the checkpoints of the longer one would count as the newest of the other; a finished run is named, not trained."""
    first = run(flags, tmp_path, "--max-steps", 2, "--checkpoint-every", 1, "--recover", "true")
    assert first.name == "step=00000002.ckpt"
    content = first.read_bytes()
    again = ["--max-steps", 2, "--logger", "none"]
    for more in ([], ["--recover", "false"], ["--ckpt-path", first.with_name("step=00000001.ckpt")]):
        with pytest.raises(
            UsageError, match=r"--save-dir: .*Name another --save-dir, go on from step=00000002\.ckpt with --recover"
        ):
            run(flags, tmp_path, *again, *more)
    for more in (["--recover", "true"], ["--ckpt-path", first.with_name("last.ckpt")]):
        assert run(flags, tmp_path, *again, *more).resolve() == first
    assert first.read_bytes() == content


def test_models_of_others_are_left_to_their_own_script(flags: list[str], tmp_path: Path) -> None:
    """They would be built, and end in an AttributeError."""
    (tmp_path / "other.json").write_text(json.dumps({"model_type": "diffusion_cond", "model": {}}))
    with pytest.raises(ConfigError, match=r"model_type: found diffusion_cond, .*python -m snac_plugin \S*train\.py"):
        run(["--model-config", str(tmp_path / "other.json"), *flags[2:]], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_run_are_taken_at_step_zero(
    trained: tuple[subprocess.CompletedProcess[str], Path], flags: list[str], tmp_path: Path
) -> None:
    """--pretrained-ckpt-path starts from its weights, --ckpt-path goes on from its step."""
    afresh = run(flags, tmp_path / "a", "--max-steps", 1, "--pretrained-ckpt-path", trained[1])
    assert afresh.name == "step=00000001.ckpt"
    onward = run(flags, tmp_path / "b", "--max-steps", 3, "--ckpt-path", trained[1])
    assert onward.name == "step=00000003.ckpt"


def test_checkpoint_of_another_network_is_named(trained: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path) -> None:
    """torch's own message lists every weight and says nothing of the config."""
    other = prepare(tmp_path, dim=64)
    (tmp_path / "model.json").write_text((tmp_path / "model.json").read_text().replace(str(tmp_path), str(trained[1].parents[2])))
    with pytest.raises(CheckpointError, match=r"weights of another shape.* expected the weights of this model config"):
        run(other, tmp_path / "run", "--max-steps", 3, "--ckpt-path", trained[1])


def test_missing_checkpoint_is_named_before_anything_is_built(flags: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--ckpt-path: found no file nowhere\.ckpt"):
        run(flags, tmp_path, "--ckpt-path", "nowhere.ckpt")


def test_a_failed_start_leaves_no_folder(flags: list[str], tmp_path: Path) -> None:
    """An empty run folder looks like a run that lost its files."""
    config = json.loads(Path(flags[1]).read_text())
    wrong = {"optimizer": {"type": "AdamW", "config": {"lr": 1e-3, "momentun": 0.9}}}
    config["training"] = {"optimizer_configs": {"diffusion": wrong}, "demo": {}}
    (tmp_path / "wrong.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"training\.optimizer_configs: found what fails with: .*momentun"):
        run(["--model-config", str(tmp_path / "wrong.json"), *flags[2:]], tmp_path / "a")
    for part in ("training", "model"):
        (tmp_path / "wrong.json").write_text(json.dumps({**config, "model_type": "autoencoder", part: " "}))
        with pytest.raises(ConfigError, match=f"{part}: found ' ', expected an object"):
            run(["--model-config", str(tmp_path / "wrong.json"), *flags[2:]], tmp_path / "a")
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        run([*flags[:2], "--dataset-config", str(tmp_path / "nowhere.json")], tmp_path / "b")
    with pytest.raises(UsageError, match=r"the flags: .*Precision 'half' is invalid"):
        run(flags, tmp_path / "c" / "deeper", "--precision", "half")
    assert [name for name in ("a", "b", "c") if (tmp_path / name).exists()] == []
    (tmp_path / "d").touch()
    with pytest.raises(UsageError, match=r"--save-dir: found .*d, which is a file"):
        run(flags, tmp_path / "d")


def test_newest_checkpoints_are_kept_and_old_ones_go(flags: list[str], tmp_path: Path) -> None:
    run(flags, tmp_path, "--max-steps", 5, "--checkpoint-every", 1, "--save-top-k", 2)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step=*"))
    assert kept == ["step=00000004.ckpt", "step=00000005.ckpt"]


def test_wrong_files_end_in_one_line(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A config with a mistake, no config at all: the message, status 1 and no traceback."""
    config = json.loads(Path(flags[1]).read_text())
    config["model"]["diffusion"]["config"]["dpeth"] = 3
    (tmp_path / "wrong.json").write_text(json.dumps(config))
    for name, message in (("wrong.json", "model.diffusion.config.dpeth"), ("gone.json", "gone.json")):
        arguments = ["--model-config", str(tmp_path / name), *flags[2:], "--save-dir", str(tmp_path / "run")]
        assert main(["train", *arguments]) == 1
        told = capsys.readouterr().err
        assert message in told
        assert "Traceback" not in told
    assert not (tmp_path / "run" / "checkpoints").exists()
