"""Conditions that are there are heard, and those that are not are not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import conditioned_model_config, write_tiny_codec

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import SnacModelConfig, check_model_config
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clips import AudioSet
from snac_plugin.evaluation.conditions_heard import classes_told, conditions_table

SONGS = 6
STYLES = ["house", "jazz"] * (SONGS // 2)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> SnacPretransform:
    return SnacPretransform(load_codec(str(write_tiny_codec(tmp_path_factory.mktemp("codec")))))


def config_with(codec: Path, *more: dict) -> SnacModelConfig:
    config = conditioned_model_config(codec)
    config["model"]["conditioning"]["configs"] += more
    config["model"]["diffusion"]["global_cond_ids"] += [one["id"] for one in more]
    config["model"]["diffusion"]["config"]["global_cond_dim"] += 8 * len(more)
    return check_model_config(config)


def audio_of(styles: list[str], clips: int = 2) -> AudioSet:
    """Clips of each song: low tones of house, noise of jazz."""
    random, time = np.random.default_rng(0), np.arange(16 * 3072) / 32000
    tones = [np.sin(2 * np.pi * random.uniform(80, 120) * time), random.standard_normal(len(time))]
    made = [0.2 * tones[style == "jazz"] + 0.01 * random.standard_normal(len(time)) for style in styles for _ in range(clips)]
    return AudioSet(torch.tensor(np.array(made), dtype=torch.float32), np.repeat(np.arange(len(styles)), clips))


def test_classes_are_told_from_the_recordings_of_other_songs(codec: SnacPretransform) -> None:
    """What sounds like the other class is told so, whatever was asked; and a song's own label teaches nothing about it."""
    other = ["jazz", "house"] * (SONGS // 2)
    kinds = {"recordings": audio_of(STYLES), "swapped": audio_of(other, 1)}
    told = classes_told(codec, kinds, np.array(STYLES), 0)
    assert told["recordings"] == [style for style in STYLES for _ in range(2)]
    assert told["swapped"] == other
    wrong = ["jazz", *STYLES[1:], "house"]
    told = classes_told(codec, {"recordings": audio_of([*STYLES, "house"], 1)}, np.array(wrong), 0)
    assert told["recordings"][0] == "house"


def test_shares_of_what_is_heard_as_asked(codec: SnacPretransform, tmp_path: Path) -> None:
    """Tempo up to octaves, a key or its relative, style; beside what other songs were asked for."""
    key = {"id": "key", "type": "list", "config": {"options": ["C major", "D dorian", "A minor", "E major"]}}
    config = config_with(write_tiny_codec(tmp_path), key)
    keys = ["C major", "D dorian", "A minor", "E major", "E major", "C major"]
    asked = [{"style": s, "tempo": 90 + 7 * i, "key": k} for i, (s, k) in enumerate(zip(STYLES, keys, strict=True))]
    in_c = np.array(music.MAJOR)
    heard = [music.TempoAndKey((90 + 7 * i) * (1, 2, 1.5)[i % 3], in_c) for i in range(SONGS)]
    kinds = {"recordings": audio_of(STYLES, 1)}
    table = conditions_table(config, codec, kinds, {"recordings": heard}, asked, 0)
    in_lists = [{name: [value] for name, value in one.items()} for one in asked]  # a class in one ended the evaluation at its end
    assert conditions_table(config, codec, kinds, {"recordings": heard}, in_lists, 0) == table
    assert table is not None
    values = {row[0]: [cell.value for cell in row[2:4]] for row in table.rows}
    assert [*values] == ["style, told by a classifier", "tempo within 4 %", "key or its relative"]
    assert values["style, told by a classifier"] == pytest.approx([1, 0.4])
    assert values["tempo within 4 %"][0] == pytest.approx(4 / 6)
    assert values["tempo within 4 %"][1] < 0.2
    assert values["key or its relative"] == pytest.approx([4 / 6, 4 / 6])


def test_what_cannot_be_told_is_left_out(codec: SnacPretransform, tmp_path: Path) -> None:
    """One song of a class teaches none; a song without a tempo leaves nothing to compare with."""
    config, heard = config_with(write_tiny_codec(tmp_path)), {"recordings": [music.TempoAndKey(100, np.arange(12.0))] * SONGS}
    asked = [{"style": "house"}] * (SONGS - 1) + [{"style": "jazz", "tempo": 100}]
    assert conditions_table(config, codec, {"recordings": audio_of(STYLES, 1)}, heard, asked, 0) is None
