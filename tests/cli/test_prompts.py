"""Many prompts in one run: checked line by line before anything is loaded, made once, skipped when they are there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli import main
from snac_plugin.errors import UsageError
from snac_plugin.generation.prompts import prompts_of, read_prompts
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = tiny_model_config(write_tiny_codec(folder / "codec"), head="logits", context_chunks=1)
    torch.save({"state_dict": builders.model(config).state_dict(), "model_config": config}, folder / "model.ckpt")
    soundfile.write(folder / "song.wav", 0.1 * torch.randn(80000).numpy(), 32000)
    soundfile.write(folder / "slow.wav", 0.1 * torch.randn(40000).numpy(), 16000)
    soundfile.write(folder / "tiny.wav", 0.1 * torch.randn(90).numpy(), 32000)
    return folder / "model.ckpt"


def write(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_all_lines_are_made_with_one_model_and_skipped_when_they_are_there(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was stopped or lost is made again; a changed line too."""
    built: list[Any] = []
    build = builders.model
    monkeypatch.setattr(builders, "model", lambda config: built.append(config) or build(config))
    song = str(checkpoint.with_name("song.wav"))
    entries = [
        {"seconds": 0.5},
        {"context": song, "seed": 3, "chunks": 1},
        {"edit": song, "keep_levels": "ABC"},
    ]
    command = ["generate", "--ckpt", str(checkpoint), "--out", str(tmp_path / "out"), "--seed", "7", "--steps", "4", "--prompts"]
    assert main([*command, str(write(tmp_path / "p.jsonl", entries[0], "", *entries[1:]))]) == 0
    names = ["seed_7.wav", "song_seed_3.wav", "song_seed_9.wav"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == names
    assert soundfile.info(tmp_path / "out" / "seed_7.wav").frames == 16000
    assert len(built) == 1
    bytes_of = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    capsys.readouterr()
    (tmp_path / "out" / "song_seed_3.wav").unlink()
    entries[0]["steps"] = 8
    assert main([*command, str(write(tmp_path / "p.jsonl", *entries))]) == 0
    said = capsys.readouterr().out
    assert said.count("skipped") == 1
    assert f"skipped  {tmp_path / 'out' / 'song_seed_9.wav'}: it is there, with these settings" in said
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == bytes_of
    assert json.loads((tmp_path / "out" / "seed_7_2.json").read_text())["steps"] == dict.fromkeys("ABCD", 2)
    assert main([*command, str(tmp_path / "p.jsonl")]) == 0
    said = capsys.readouterr().out
    assert (said.count("skipped"), said.count("real time")) == (3, 0), "of nothing there is no speed"


def test_an_unfinished_sample_is_made_again(checkpoint: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves a shorter one, whose settings say the same but for its length."""
    file = write(tmp_path / "p.jsonl", {"seed": 1, "seconds": 1})
    command = ["generate", "--ckpt", str(checkpoint), "--out", str(tmp_path), "--prompts", str(file)]
    assert main(command) == 0
    noted = json.loads((tmp_path / "seed_1.json").read_text())
    (tmp_path / "seed_1.json").write_text(json.dumps(noted | {"seconds": 0.4, "new_seconds": 0.4}))
    assert main(command) == 0
    assert json.loads((tmp_path / "seed_1_2.json").read_text()) == noted


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"seed": 1}', "{seed: 2}"], "line 2: found '{seed: 2}'"),
        (['"text"'], "line 1: found '\"text\"', expected a JSON object"),
        ([{"sed": 1}], "line 1: found the key 'sed', expected one of .*Did you mean \"seed\""),
        ([{}, "", {"repaint": [[1, 2]]}], "line 3: repaint: found no recording to change"),
        ([{"seed": -2}], "line 1: seed: found -2"),
        ([""], "prompts: found no prompt in"),
        ([{"context": 5}], "line 1: recording: found 5, expected the name of an audio file"),
        ([{"context": "SONG", "from_second": 1e-5}], "line 1: from_second: found 1e-05, expected a second of the recording"),
        ([{"context": "nowhere.wav"}], "line 1: nowhere.wav: found no such file"),
        ([{}, {"match": False}], "line 2: match: found no recording, expected context, edit, before or bridge beside it"),
        ([{"bridge": ["SONG", "SLOW"]}], "line 1: bridge: found 32000 Hz with channels: 1, then 16000 Hz with channels: 1"),
        (
            [{"context": "SONG", "from_second": 3}],
            "line 1: from_second: found 3, expected a second of the recording, which",
        ),
    ],
)
def test_a_wrong_line_is_named_before_torch_is_imported(checkpoint: Path, tmp_path: Path, lines: list[Any], message: str) -> None:
    text = write(tmp_path / "p.jsonl", *lines).read_text()
    for name in ("song", "slow"):
        text = text.replace(name.upper(), str(checkpoint.with_name(f"{name}.wav")))
    (tmp_path / "p.jsonl").write_text(text)
    call = f"main(['generate', '--prompts', {str(tmp_path / 'p.jsonl')!r}])"
    code = f"import sys; from snac_plugin.cli import main; failed = {call}; "
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}assert failed; assert 'torch' not in sys.modules"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(message, ran.stderr), ran.stderr


def test_what_the_model_cannot_follow_is_named_before_it_is_built(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builders, "model", lambda config: pytest.fail("the model was built"))
    file = write(tmp_path / "p.jsonl", {"seed": 1}, {"conditioning": {"prompt": "techno"}})
    assert main(["generate", "--ckpt", str(checkpoint), "--prompts", str(file)]) == 1
    assert "p.jsonl: line 2: conditioning: found the key 'prompt'" in capsys.readouterr().err


def test_what_fails_in_the_making_is_named_by_its_line(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A loop that is too short for the codec ended the run without a word about which; recordings too short, after minutes."""
    file = write(tmp_path / "p.jsonl", {"seconds": 0.3}, {"loop": True, "put_back": True, "seconds": 0.1})
    command = ["generate", "--ckpt", str(checkpoint), "--out", str(tmp_path), "--steps", "4", "--prompts"]
    assert main([*command, str(file)]) == 1
    assert "p.jsonl: line 2: seconds: found 0.100, expected 0.384 s or more for a loop" in capsys.readouterr().err
    monkeypatch.setattr(builders, "model", lambda config: pytest.fail("the model was built"))
    short = str(checkpoint.with_name("tiny.wav"))
    file = write(tmp_path / "q.jsonl", {}, {"bridge": [short, short], "put_back": True})
    assert main([*command, str(file)]) == 1
    assert "q.jsonl: line 2: " in (said := capsys.readouterr().err)
    assert "expected at least one frame of the codec" in said


def test_without_a_seed_the_one_drawn_is_said_and_skips_on_a_second_run(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody could tell the run that was stopped to go on."""
    file = write(tmp_path / "p.jsonl", {"seconds": 0.3}, {"seconds": 0.4})
    command = ["generate", "--ckpt", str(checkpoint), "--out", str(tmp_path), "--prompts", str(file)]
    assert main(command) == 0
    seed = re.search(r"prompts: 2; where a line names no seed, they count up from (\d+): --seed", capsys.readouterr().out)
    assert seed is not None
    assert main([*command, "--seed", seed[1]]) == 0
    assert capsys.readouterr().out.count("skipped  ") == 2


def test_lines_overrule_what_they_have_in_common(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", {"chunks": 2}, {"steps": {"A": 1, "B": 1}, "cfg_interval": [0.1, 0.5]}, {"seed": 3})
    first, second, third = read_prompts(file, {"seconds": 4, "steps": 9, "seed": 20, "context": "a.wav"})
    assert (first.request.chunks, first.request.seconds, first.request.steps, first.seed) == (2, None, 9, 20)
    assert (second.request.seconds, second.request.steps, second.request.cfg_interval) == (4, {"A": 1, "B": 1}, (0.1, 0.5))
    assert (second.seed, third.seed, third.context) == (21, 3, "a.wav")
    with pytest.raises(UsageError, match="prompt 2: seconds: found -1"):
        prompts_of([{}, {"seconds": -1}])


def test_lines_that_share_seeds_are_told(checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each line makes two samples from seed 5 and from seed 6 on: 6 would be used twice."""
    command = ["generate", "--ckpt", str(checkpoint), "--out", str(tmp_path), "--seed", "5", "--num", "2", "--steps", "4"]
    assert main([*command, "--prompts", str(write(tmp_path / "p.jsonl", {"seconds": 0.1}, {"seconds": 0.2}))]) == 0
    assert caplog.records[0].getMessage().startswith("Lines use the same seeds, since each makes 2 samples: 5 to 6 and 6 to 7.")
    caplog.clear()
    apart = write(tmp_path / "q.jsonl", {"seconds": 0.1, "seed": 20}, {"seconds": 0.2, "seed": 22})
    assert main([*command, "--prompts", str(apart)]) == 0
    assert not caplog.records


def test_conditions_of_a_line_go_over_the_common_ones_by_name() -> None:
    """One condition in a line took the place of all of them, and the others had to be said again in each line."""
    common = {"conditioning": {"style": "house", "tempo": 120}, "negative_conditioning": {"style": "jazz"}}
    entries = [{"conditioning": {"tempo": 90}}, {}, {"conditioning": None}, {"negative_conditioning": {"tempo": 60}}]
    first, second, third, fourth = (one.request for one in prompts_of(entries, common))
    assert first.conditioning == {"style": "house", "tempo": 90}
    assert (second.conditioning, third.conditioning) == (common["conditioning"], None)
    assert fourth.negative_conditioning == {"style": "jazz", "tempo": 60}
    each = [{"style": "rock"}, {"style": "blues"}]
    (alone,) = prompts_of([{"conditioning": each}], common)
    assert alone.request.conditioning == each
    (over_each,) = prompts_of([{"conditioning": {"tempo": 90}}], {"conditioning": each})
    assert over_each.request.conditioning == [{"style": "rock", "tempo": 90}, {"style": "blues", "tempo": 90}]
