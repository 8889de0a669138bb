"""The codes in a sample's picture are those that are heard there, and those that were kept are told from new ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output import sample_files
from snac_plugin.output.make_samples import Recording, make_samples
from snac_plugin.output.pictures import DrawnCodes

RATE = 32000
BORDER = 1600
"""Samples beside a join in which two sounds fade."""


@pytest.fixture
def songs(tmp_path: Path) -> tuple[Path, Path]:
    """Two recordings at the model's rate, 3.1 s and 2 s long."""
    for name, seconds, hertz in (("first", 3.1, 200), ("second", 2.0, 330)):
        axis = np.arange(round(seconds * RATE)) / RATE
        soundfile.write(tmp_path / f"{name}.wav", 0.4 * np.sin(2 * np.pi * hertz * axis * (1 + axis)), RATE, subtype="FLOAT")
    return tmp_path / "first.wav", tmp_path / "second.wav"


def made(
    model: SnacDiffusion, folder: Path, monkeypatch: pytest.MonkeyPatch, continued: Path | None, **asked: Any
) -> tuple[DrawnCodes, np.ndarray]:
    """What is drawn of a sample, and its sound."""
    drawn: list[Any] = []
    monkeypatch.setattr(sample_files, "save_picture", lambda *given: drawn.append(given[3]))
    recording = None if continued is None else Recording.read(continued, model.levels)
    request = Request(match=False, steps=8, **asked)
    (sample,) = make_samples(model, request, folder / "out", seed=5, recording=recording, progress=False)
    return drawn[0], soundfile.read(sample.files.wav, dtype="float32")[0]


def differences(model: SnacDiffusion, drawn: DrawnCodes, sound: np.ndarray) -> np.ndarray:
    """How far a sample is from the sound of the codes that are drawn at its place; NaN where none are."""
    codes, found = drawn.packed, np.full(len(sound), np.nan)
    decoded = model.pretransform.decode_tokens(codes[None].long(), seed=5)[0, 0].numpy()
    for begin in drawn.begins:
        place = np.arange(len(decoded)) + round(begin * RATE)
        inside = (place >= 0) & (place < len(sound))
        found[place[inside]] = abs(decoded[inside] - sound[place[inside]])
    return found


@pytest.mark.parametrize(
    ("asked", "new"),
    [
        ({"edit": 0, "repaint": [(1.2, 1.9)]}, [(1.2, 1.9)]),
        ({"edit": 0, "repaint": [(0.4, 0.8), (2.0, 2.5)]}, [(0.4, 0.8), (2.0, 2.5)]),
        ({"edit": 0, "repaint": [(1.2, 1.9)], "only_new": True}, [(0.0, 0.7)]),
        ({"edit": 0, "loop": True}, [(0.0, 0.09), (3.01, 3.1)]),
        ({"before": 1, "seconds": 1.0}, [(0.0, 1.0)]),
        ({"bridge": (0, 1), "seconds": 0.8}, [(3.1, 3.9)]),
        ({"seconds": 0.9, "continued": 0}, [(3.1, 4.0)]),
    ],
)
def test_drawn_codes_sound_as_the_file_does_where_it_is_new(
    model: SnacDiffusion, songs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Any, new: Any
) -> None:
    files = {name: songs[value] for name, value in asked.items() if name in ("edit", "before")}
    files |= {"bridge": songs} if "bridge" in asked else {}
    continued = songs[0] if "continued" in asked else None
    options = {name: value for name, value in asked.items() if name != "continued"} | files
    drawn, sound = made(model, tmp_path, monkeypatch, continued, **options)
    apart = differences(model, drawn, sound)
    border = BORDER if "loop" not in asked else BORDER // 2
    inner = [np.arange(round(first * RATE) + border, round(last * RATE) - border) for first, last in new]
    assert np.nanmax([apart[place] for place in np.concatenate(inner)]) < 1e-5
    frame = model.levels.frame_samples / RATE
    if drawn.kept is None:
        assert asked.get("only_new"), "nothing beside what is new"
        return
    for begin in drawn.begins:
        middles = begin + (np.arange(drawn.packed.shape[-1]) + 0.5) * frame
        for kept, middle in zip(drawn.kept[0].tolist(), middles, strict=True):
            near = [edge for span in new for edge in span if abs(edge - middle) < frame]  # a frame is generated whole
            if not near and 0 <= middle < len(sound) / RATE:
                assert kept == (not any(first < middle < last for first, last in new))


def test_a_level_that_stays_is_drawn_as_kept(
    model: SnacDiffusion, songs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, _ = made(model, tmp_path, monkeypatch, None, edit=songs[0], keep_levels="AB")
    assert drawn.kept is not None
    assert drawn.kept.any(dim=1).tolist() == [True, True, False, False]
    assert drawn.kept.all(dim=1).tolist() == [True, True, False, False]
    audio = torch.from_numpy(soundfile.read(songs[0], dtype="float32")[0])
    own = model.pretransform.tokenize(audio[None, None])[0]
    assert (drawn.packed[:3] == own[:3, : drawn.packed.shape[-1]]).all(), "rows of levels A and B"


def test_of_a_continuation_alone_the_new_codes_are_drawn_from_its_beginning_on(
    model: SnacDiffusion, songs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = made(model, tmp_path / "whole", monkeypatch, songs[0], seconds=0.9)
    alone, _ = made(model, tmp_path / "alone", monkeypatch, songs[0], seconds=0.9, only_new=True)
    assert whole.kept is not None
    assert (alone.begins, alone.kept) == ((0.0,), None)
    assert torch.equal(alone.packed, whole.packed[:, ~whole.kept[0]])
