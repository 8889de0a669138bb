"""A conditioned model is judged with what is said of each song, not with one condition for all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny import CHUNK_FRAMES, conditioned_model_config, write_tiny_codec

from snac_plugin.config import check_model_config
from snac_plugin.config.condition_values import Position
from snac_plugin.errors import AudioError
from snac_plugin.evaluation.clip_conditions import conditions_used, metadata_of, with_clips
from snac_plugin.evaluation.clips import Clips, encode, read_clips
from snac_plugin.evaluation.held_out_losses import context_losses, gap_losses, validation_losses
from snac_plugin.evaluation.model_audio import _generated
from snac_plugin.evaluation.options import Options
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

CHUNK = CHUNK_FRAMES * 3072


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    torch.manual_seed(0)
    model = builders.model(conditioned_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec"))))
    for parameter in model.model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for index, said in enumerate(({"style": "house", "tempo": 90, "mood": "calm"}, {"style": "jazz:0.5,house:0.5"})):
        audio = 0.1 * np.random.default_rng(index).standard_normal((4 + index) * CHUNK)
        soundfile.write(tmp_path / f"{index}.wav", audio, 32000)
        (tmp_path / f"{index}.json").write_text(json.dumps(said))
    return tmp_path


def clips_of(folder: Path) -> Clips:
    return read_clips(folder, 32000, 2 * CHUNK, 4, progress=False)


def test_each_clip_has_its_song_s_conditions_and_place(model: SnacDiffusion, songs: Path) -> None:
    """What the request says goes over them; what no conditioner reads stays out."""
    clips = clips_of(songs)
    options = with_clips(Options(request=Request(conditioning={"tempo": "120"})), clips, model.config, CHUNK)
    one, other = {"style": "house", "tempo": "120"}, {"style": "jazz:0.5,house:0.5", "tempo": "120"}
    assert list(options.metadata) == [one, one, other, other]
    assert options.places == ((0, 4), (2, 4), (0, 5), (3, 5))
    told = metadata_of(model, options, [1, 3], 1, 1)
    assert [entry["place"] for entry in told] == [Position(3, 4, 1), Position(4, 5, 1)]
    assert told[0]["style"] == "house"


def test_a_condition_for_all_clips_goes_over_the_songs_by_either_of_its_names(songs: Path, tmp_path: Path) -> None:
    """Asked for as bpm, the tempo was each song's own, where that was called tempo."""
    config = conditioned_model_config(write_tiny_codec(tmp_path / "codec"))
    config["model"]["conditioning"]["default_keys"] = {"tempo": "bpm"}
    for asked in ({"tempo": 120}, {"bpm": 120}):
        options = with_clips(Options(request=Request(conditioning=asked)), clips_of(songs), check_model_config(config), CHUNK)
        assert options.metadata[0] == {"style": "house"} | asked


def test_the_report_says_which_conditions_were_used(model: SnacDiffusion, songs: Path) -> None:
    """Nobody could tell afterwards whether a figure was that of the songs' own conditions."""
    clips = clips_of(songs)
    options = with_clips(Options(request=Request(conditioning={"tempo": "120"})), clips, model.config, CHUNK)
    held, told = conditions_used(model, options, clips)
    by_song = {"0.wav": {"style": "house", "tempo": "120"}, "1.wav": {"style": "jazz:0.5,house:0.5", "tempo": "120"}}
    assert held == {"conditions": {"for_all_clips": {"tempo": "120"}, "by_song": by_song}}
    expected = 'style as the JSON file beside each song says; tempo "120" for all clips; place: where each clip lies in its song'
    assert told == f" Conditions: {expected}."


def test_a_song_that_lacks_a_condition_is_named(model: SnacDiffusion, songs: Path) -> None:
    with pytest.raises(AudioError, match=r"1\.wav: found nothing for tempo .*Write it into 1\.json"):
        with_clips(Options(), clips_of(songs), model.config, CHUNK)
    (songs / "0.json").write_text('{"style": "hause", "tempo": 90}')
    with pytest.raises(AudioError, match=r'0\.wav: found "hause" .*expected one of house, jazz'):
        with_clips(Options(), clips_of(songs), model.config, CHUNK)


def test_losses_and_continuations_of_a_clip_follow_its_own_conditions(model: SnacDiffusion, songs: Path) -> None:
    """Changing what is said of the second song changes its figures alone."""
    clips = clips_of(songs)
    codes = encode(model.pretransform, clips.audio, 4, progress=False)
    found: list[list[Any]] = []
    for style in ("jazz", "house"):
        (songs / "1.json").write_text(json.dumps({"style": style, "tempo": 180}))
        options = with_clips(Options(progress=False), clips, model.config, CHUNK)
        context = context_losses(model, codes, clips.songs, (0.5,), options)
        losses = [validation_losses(model, codes, (0.5,), options), *(context[kind][0] for kind in ("true", "none"))]
        losses.append(gap_losses(model, codes, (1, 3), (0.5,), options)["shown"][0])
        found.append([*losses, _generated(model, codes[..., :CHUNK_FRAMES], range(4), options)[0].numpy()])
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one[:2], other[:2])
        assert not np.isclose(one[2:], other[2:]).all()


def test_without_metadata_the_request_counts_for_all(model: SnacDiffusion) -> None:
    options = Options(request=Request(conditioning={"style": "jazz", "tempo": 90}))
    assert [entry["style"] for entry in metadata_of(model, options, range(3), 0, 2)] == ["jazz"] * 3
