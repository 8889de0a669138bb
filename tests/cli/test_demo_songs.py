"""Demo music that is chosen by flags."""

import json
import shlex
from pathlib import Path

import pytest
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli import main, pre_encode
from snac_plugin.cli.demo_songs import DemoSongs, Kind, demo_flags, songs_from
from snac_plugin.data.demo_music import render_demo_music
from snac_plugin.errors import UsageError

NEEDED = ["--model-config", "model.json", "--output-path", "out"]


def chosen(*flags: str) -> DemoSongs:
    return songs_from(pre_encode.parser().parse_args([*NEEDED, *flags]))


def test_flags_say_which_songs() -> None:
    assert chosen() == DemoSongs()
    asked = chosen("--songs", "4", "--song-seconds", "20", "--styles", "house", "jazz waltz", "--tempo", "125", "--key", "A minor")
    assert asked == DemoSongs(4, 20.0, Kind(("house", "jazz waltz"), 125, "A minor"))
    assert asked.folder == Path("demo_music/4_songs_20_seconds_house_jazz_waltz_125_bpm_A_minor")
    assert DemoSongs(seed=1).folder == Path("demo_music/seed_1")


@pytest.mark.parametrize("flags", [["--songs", "0"], ["--song-seconds", "0.5"], ["--tempo", "0"]])
def test_numbers_out_of_range_are_refused(flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 0 is not the same as nothing, which stands for the default."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"{flags[0].split('-')[-1]}: found {flags[1]}"):
        chosen(*flags).dataset("train", 32000)
    assert list(tmp_path.iterdir()) == []


def test_the_command_renders_what_its_flags_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = shlex.split("--songs 2 --seconds 1.5 --seed 3 --sample-rate 16000 --split held_out --varied --styles rock --tempo 90")
    assert main(["songs", str(tmp_path / "made"), *flags]) == 0
    assert str(tmp_path / "made") in capsys.readouterr().out
    chosen = {"songs": 2, "seconds": 1.5, "seed": 3, "split": "held_out", "varied": True, "styles": ["rock"], "tempo": 90}
    same = render_demo_music(tmp_path / "same", sample_rate=16000, progress=False, **chosen)  # type: ignore[arg-type]
    assert [path.name for path in same.glob("*.flac")]
    for path in same.iterdir():
        assert (tmp_path / "made" / path.name).read_bytes() == path.read_bytes()
    assert main(["songs", str(tmp_path / "none"), "--songs", "0"]) == 1
    assert "songs: found 0, expected 1 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_songs_of_one_kind_are_rendered_and_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(tiny_model_config(write_tiny_codec(tmp_path / "codec"))))
    flags = [
        "--songs",
        "2",
        "--song-seconds",
        "2",
        "--styles",
        "house",
        "--tempo",
        "125",
        "--key",
        "F# dorian",
        "--split",
        "held_out",
    ]
    assert main(["pre_encode", *NEEDED, *flags, "--device", "cpu"]) == 0
    songs = sorted((tmp_path / "demo_music" / "2_songs_2_seconds_house_125_bpm_F#_dorian" / "held_out").glob("*.json"))
    facts = [json.loads(path.read_text()) for path in songs if path.name != "demo_music.json"]
    assert [(one["style"], one["tempo"], one["key"], one["seconds"]) for one in facts] == [("house", 125, "F# dorian", 2.0)] * 2
    assert (tmp_path / "out" / "dataset_config.json").is_file()


@pytest.mark.parametrize("flags", [["--songs", "2"], ["--split", "held_out"], ["--key", "A minor"]])
def test_a_dataset_config_leaves_nothing_to_choose(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_flags(pre_encode.parser().parse_args([*NEEDED, *flags]))
    assert not demo_flags(pre_encode.parser().parse_args(NEEDED))
    assert main(["pre_encode", *NEEDED, "--dataset-config", "audio.json", *flags]) == 1
    assert f"--dataset-config: found {flags[0]} beside it" in capsys.readouterr().err
