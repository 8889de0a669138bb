"""What `make demo` may remove, what it prints, and what it needs installed."""

import ast
import copy
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_model_config, write_tiny_codec
from torch.utils.tensorboard import SummaryWriter

import snac_plugin
from snac_plugin.cli.demo import (
    CONFIG,
    HELD_OUT,
    HELD_OUT_SECONDS,
    MADE,
    _conditions,
    _config,
    _generate,
    _held_out_songs,
    _losses,
    _tempo_and_key,
    _through_codec,
    main,
    make_room,
    parser,
)
from snac_plugin.config import check_model_config
from snac_plugin.errors import ConfigError, UsageError
from snac_plugin.generation.joining import JOIN_SECONDS, join
from snac_plugin.plugin import builders
from snac_plugin.tested_set import EXTRAS, REQUIRED


@pytest.mark.parametrize("content", ["thesis.txt", "checkpoints/step=00100000.ckpt"])
def test_folders_of_others_are_refused_and_stay(tmp_path: Path, content: str) -> None:
    """`--save-dir ~/Documents`, or the run of weeks of training, must survive a demo."""
    precious = tmp_path / content
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("precious")
    with pytest.raises(UsageError, match=r"--save-dir: .*which no demo run has made"):
        main(["--save-dir", str(tmp_path)])
    assert precious.read_text() == "precious"
    with pytest.raises(UsageError, match="--save-dir"):
        make_room(precious)


def test_an_earlier_demo_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    make_room(run)
    for name in (*MADE, "mine"):
        (run / name).mkdir()
        (run / name / "file").touch()
    make_room(run)
    assert sorted(path.name for path in run.iterdir()) == ["demo_run.txt", "mine"]
    assert (run / "mine" / "file").is_file()


def test_losses_are_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """TensorBoard says "No path found after ..." at the end of every file."""
    with SummaryWriter(str(tmp_path / "tensorboard")) as writer:
        for step in range(20):
            writer.add_scalar("train/loss_A", 20.0 - step, step)
    with caplog.at_level(logging.INFO):
        logging.getLogger("tensorboard").setLevel(logging.NOTSET)
        assert _losses(tmp_path).splitlines()[1].split() == ["A", "19.500", "1.500"]
    assert caplog.messages == []


@pytest.mark.slow
def test_tempo_and_key_of_what_was_made_are_told(tmp_path: Path) -> None:
    """An A minor chord struck 120 times a minute."""
    pytest.importorskip("librosa")
    rate = 22050
    times = np.arange(8 * rate) / rate
    chord = sum(np.sin(2 * np.pi * frequency * times) for frequency in (220.0, 261.63, 329.63))
    soundfile.write(tmp_path / "a.wav", 0.2 * chord * np.exp(-8 * (times % 0.5)), rate)
    heard = re.fullmatch(
        r"librosa hears (\d+) beats a minute \(strength ([\d.]+)\) and (.*) \(fit ([\d.]+)\)", _tempo_and_key(tmp_path / "a.wav")
    )
    assert heard is not None
    noise = np.random.default_rng(0).uniform(-1, 1, 4 * rate)
    soundfile.write(tmp_path / "noise.wav", noise, rate)
    soundfile.write(tmp_path / "both.wav", np.concatenate([noise, soundfile.read(tmp_path / "a.wav")[0]]), rate)
    assert _tempo_and_key(tmp_path / "both.wav", tmp_path / "noise.wav") == heard[0]
    assert int(heard[1]) == pytest.approx(120, rel=0.04)
    assert float(heard[2]) > 0.8
    assert heard[3] == "A minor"


def test_songs_to_continue_are_held_out_and_of_the_same_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny_model_config(write_tiny_codec(tmp_path / "codec"))
    songs = _held_out_songs(parser().parse_args([]), config)
    assert [song.parent.name for song in songs] == ["held_out"] * HELD_OUT
    for song in songs:
        facts = json.loads(song.with_suffix(".json").read_text())
        assert (facts["key"], facts["tempo"], facts["seed"][:10]) == ("A minor", 125, "0/held_out")
        assert soundfile.info(song).duration == pytest.approx(HELD_OUT_SECONDS)


STYLE = {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "funk"]}}
TEMPO = {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 180}}


def conditioned(folder: Path, **options: object) -> dict[str, Any]:
    """A tiny model that reads a style and a tempo."""
    config = tiny_model_config(write_tiny_codec(folder / "codec"), **options)
    config["model"]["conditioning"] = {"cond_dim": 8, "configs": [copy.deepcopy(STYLE), copy.deepcopy(TEMPO)]}
    config["model"]["diffusion"]["global_cond_ids"] = ["style", "tempo"]
    config["model"]["diffusion"]["config"]["global_cond_dim"] = 16
    config["training"]["demo"]["demo_cond"] = [{"style": "house", "tempo": 120}]
    return config


def test_conditions_that_the_model_does_not_take_are_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = parser().parse_args(["--tempo", "220", "--styles", "funk"])
    with pytest.raises(UsageError, match=r"held_out_00000\.json: tempo: found 220, expected .*180"):
        _held_out_songs(args, conditioned(tmp_path))


def test_the_condition_style_learns_the_styles_of_the_songs(tmp_path: Path) -> None:
    """Those it has stay where they are; the config that is trained lies in the folder of the run."""
    (tmp_path / "model.json").write_text(json.dumps(conditioned(tmp_path)))
    flags = ["--save-dir", str(tmp_path), "--model-config", str(tmp_path / "model.json"), "--styles", "polka", "funk", "waltz"]
    config = _config(parser().parse_args(flags))
    assert config["model"]["conditioning"]["configs"][0]["config"]["classes"] == ["house", "funk", "polka", "waltz"]
    assert config["model"]["conditioning"]["configs"][1] == TEMPO
    assert json.loads((tmp_path / CONFIG).read_text()) == config
    plain = tiny_model_config(tmp_path / "codec")
    (tmp_path / "model.json").write_text(json.dumps(plain))
    assert _config(parser().parse_args(flags)) == plain
    (tmp_path / "model.json").write_text(json.dumps({**plain, "model": {**plain["model"], "conditioning": None}}))
    assert _config(parser().parse_args(flags))["model"]["conditioning"] is None
    (tmp_path / "model.json").write_text(json.dumps({**plain, "model": {**plain["model"], "conditioning": {}}}))
    with pytest.raises(ConfigError, match=r"model\.conditioning\.configs"):
        _config(parser().parse_args(flags))


def test_a_condition_is_asked_for_by_the_key_that_stands_in_for_it(tmp_path: Path) -> None:
    """What is called otherwise was not asked for, and the demo ended at its last part."""
    config = conditioned(tmp_path)
    config["model"]["conditioning"]["default_keys"] = {"style": "genre", "tempo": "bpm"}
    section = check_model_config(config).model.conditioning
    (tmp_path / "a.json").write_text(json.dumps({"genre": "funk", "tempo": 100, "bpm": 99}))
    assert _conditions(section, tmp_path / "a.flac") == {"genre": "funk", "tempo": 100}


@pytest.mark.parametrize("context", [0, 1])
def test_songs_are_continued_the_first_repainted_and_their_conditions_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: int
) -> None:
    """Put back where the config does not train on known frames; a model without context continues nothing."""
    calls: list[list[str]] = []
    monkeypatch.setattr("snac_plugin.cli.generate.main", calls.append)
    songs = [tmp_path / "a.flac", tmp_path / "b.flac"]
    for song, tempo in zip(songs, (100, 120), strict=True):
        song.with_suffix(".json").write_text(json.dumps({"style": "funk", "tempo": tempo, "key": "A minor"}))
    args = parser().parse_args(["--save-dir", str(tmp_path), "--model-config", "model.json"])
    for infill in (None, {"share": 0.5}):
        config = conditioned(tmp_path / f"{infill}", context_chunks=context)
        config["training"] |= {} if infill is None else {"infill": infill}
        _generate(args, config, tmp_path / "my.ckpt", songs)
        what = [call[call.index("--continue") + 1] if "--continue" in call else None for call in calls]
        assert what == ([None, str(songs[0]), None, str(songs[1]), None] if context else [None, None, None])
        asked = [[word for word in call if "=" in word] for call in calls]
        assert asked[0] == asked[-1] == ["style=funk", "tempo=100"], "the model reads no key"
        assert asked[-2] == ["style=funk", "tempo=120"]
        assert calls[-1][calls[-1].index("--edit") + 1] == str(songs[0])
        assert ("--put-back" in calls[-1]) == (infill is None)
        calls.clear()


def test_a_continued_song_through_the_codec_is_one_sound(tmp_path: Path) -> None:
    """Its recording is the codec's, what is new stays but for the join, and that jumps no more than the sound itself."""
    config = tiny_model_config(write_tiny_codec(tmp_path / "codec"), context_chunks=1)
    codec, rate = builders.pretransform(config["model"]["pretransform"], 32000), 32000
    music = 0.3 * torch.sin(torch.arange(2 * rate) * 0.05)[None]
    recorded, new = music[:, :rate], codec.decode(codec.encode(music[None]))[0, :, rate : 2 * rate]
    decoded = codec.decode(codec.encode(recorded[None]), rate)[0]
    size = round(JOIN_SECONDS * rate)
    whole = torch.cat([recorded, join(new, recorded[:, -size:], decoded[:, -size:])], dim=1)
    for name, audio in (("song.wav", recorded), ("song_seed_42.wav", whole)):
        soundfile.write(tmp_path / name, audio.T.numpy(), rate, subtype="FLOAT")
    found = torch.from_numpy(
        soundfile.read(_through_codec(config, tmp_path / "song.wav", tmp_path / "song_seed_42.wav"))[0]
    ).float()
    torch.testing.assert_close(found[:rate], decoded[0])
    torch.testing.assert_close(found[rate:], new[0])


def test_what_demo_music_imports_is_declared() -> None:
    """A requirement of a requirement may go without notice."""
    folder = Path(str(snac_plugin.__file__)).parent / "data" / "demo_music"
    imported = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [str(node.module)] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported |= {name.split(".")[0] for name in names}
    assert "scipy" in imported
    assert imported - set(sys.stdlib_module_names) - {"snac_plugin"} <= set(REQUIRED) | set(EXTRAS["demo"])
