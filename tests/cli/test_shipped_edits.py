"""Every row of the table in docs/editing.md, with the model that ships: from Python and by the command, which give the same audio.

What is known stays: own samples and codes, bit for bit.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import snac_plugin
from snac_plugin.cli import main
from snac_plugin.data.audio import read_audio
from snac_plugin.generation.prompts import prompts_of
from snac_plugin.generation.request import Request, options_in
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.make_samples import make_samples

pytestmark = pytest.mark.slow

RATE, FRAME = 32000, 3072
FRAMES = 56  # of the recording, 5.4 s: a chunk has 64, and what is put beside it crosses into others


@pytest.fixture(scope="module")
def model() -> SnacDiffusion:
    return snac_plugin.load_model("snac_dit_tiny")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beats over a chord, in 16 bits."""
    file, rng = tmp_path_factory.mktemp("songs") / "song.wav", np.random.default_rng(0)
    time = np.arange(FRAMES * FRAME) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (110, 220, 261.6, 329.6))
    beats = rng.standard_normal(len(time)) * np.exp(-20 * (time % 0.48))
    soundfile.write(file, 0.1 * chord + 0.2 * beats, RATE, subtype="PCM_16")
    return file


def audio_of(file: Path) -> Tensor:
    """Mono [N]."""
    rate, audio = read_audio(file)
    assert rate == RATE
    return audio[0]


def by_command(folder: Path, *flags: Any) -> list[Tensor]:
    """What `generate.py` writes, by seed, from seed 3 on."""
    assert main(["generate", "--out", str(folder), "--seed", "3", "--steps", "4", *map(str, flags)]) == 0
    files = sorted(folder.glob("*.*"), key=lambda file: int(re.findall(r"\d+", file.stem)[-1]))
    return [audio_of(file) for file in files if file.suffix not in (".json", ".png")]


def by_python(model: SnacDiffusion, **options: Any) -> tuple[Tensor, Tensor]:
    """Audio [B, N] and codes [B, R, T] of the same."""
    audio, codes = model.generate(seed=3, steps=4, progress=False, return_codes=True, **options)
    return audio[:, 0], codes


@pytest.fixture(scope="module")
def repainted(model: SnacDiffusion, song: Path) -> Tensor:
    """The recording with its seconds 3.2 to 5.1 made anew, [N]."""
    return by_python(model, edit=audio_of(song), repaint=[(3.2, 5.1)])[0][0]


def tokens(model: SnacDiffusion, audio: Tensor) -> Tensor:
    return model.pretransform.tokenize(audio[None, None])[0]


def assert_kept(made: Tensor, own: Tensor, new: slice) -> None:
    """All but what is new is there, and what is new is something else."""
    outside = torch.ones(len(own), dtype=torch.bool)
    outside[new] = False
    assert made.shape == own.shape
    assert torch.equal(made[outside], own[outside])
    assert not torch.equal(made[new], own[new])


def test_a_place_is_repainted(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    own, place = audio_of(song), (32 * FRAME / RATE, 52 * FRAME / RATE)
    (audio,), (codes,) = by_python(model, edit=own, repaint=[place])
    assert_kept(audio, own, slice(32 * FRAME, 52 * FRAME))
    known, whole = torch.arange(FRAMES) < 32, tokens(model, own)
    known[52:] = True
    assert torch.equal(codes[:, known], whole[:, known])
    assert not torch.equal(codes[:, ~known], whole[:, ~known])
    (written,) = by_command(tmp_path, "--edit", song, "--repaint", "{}:{}".format(*place))
    assert torch.equal(written, audio)


def test_the_plan_stays_in_four_variations(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    own = audio_of(song)
    audio, codes = by_python(model, edit=own, keep_levels="A", batch_size=4)
    whole = tokens(model, own)
    assert all(torch.equal(one[0], whole[0]) for one in codes)
    assert len({one[1:].numpy().tobytes() for one in (*codes, whole)}) == 5
    written = by_command(tmp_path, "--edit", song, "--keep-levels", "A", "--batch-size", 4)
    assert torch.equal(torch.stack(written), audio)


def test_a_strength_by_level_leaves_levels_of_none(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    own = audio_of(song)
    (audio,), (codes,) = by_python(model, edit=own, strength={"A": 0, "B": 0, "C": 0.1, "D": 0.9})
    levels, whole = model.levels.unpack(codes[None]), model.levels.unpack(tokens(model, own)[None])
    same = [float((a == b).double().mean()) for a, b in zip(levels, whole, strict=True)]
    assert same[:2] == [1, 1]
    assert same[2] > 0.8 > 0.2 > same[3]
    (written,) = by_command(tmp_path, "--edit", song, "--strength", "A=0,B=0,C=0.1,D=0.9")
    assert torch.equal(written, audio)


def test_a_recording_goes_on_from_a_second(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    """As that part of it alone does."""
    own, cut = audio_of(song), 5 * RATE
    (audio,), _ = by_python(model, context=own, from_second=5, seconds=1)
    assert torch.equal(audio, by_python(model, context=own[:cut], seconds=1)[0][0])
    (written,) = by_command(tmp_path / "all", "--continue", song, "--from", 5, "--seconds", 1)
    assert torch.equal(written, torch.cat([own[:cut], audio]))
    (alone,) = by_command(tmp_path / "new", "--continue", song, "--from", 5, "--seconds", 1, "--only-new")
    assert torch.equal(alone, audio)


def test_what_is_new_leads_into_a_recording(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    own, size = audio_of(song), 20 * FRAME
    (audio,), (codes,) = by_python(model, before=own, seconds=size / RATE)
    whole = torch.cat([torch.zeros(size), own])
    assert_kept(audio, whole, slice(size))
    assert torch.equal(codes[:, 20:], tokens(model, whole)[:, 20 : codes.shape[-1]])
    (written,) = by_command(tmp_path, "--lead-in", song, "--seconds", size / RATE)
    assert torch.equal(written, audio)


def test_two_recordings_are_bridged(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    own, size = audio_of(song), 20 * FRAME
    (audio,), (codes,) = by_python(model, bridge=(own, own), seconds=size / RATE)
    whole = torch.cat([own, torch.zeros(size), own])
    assert_kept(audio, whole, slice(len(own), len(own) + size))
    known = torch.ones(codes.shape[-1], dtype=torch.bool)
    known[FRAMES : FRAMES + 20] = False
    assert torch.equal(codes[:, known], tokens(model, whole)[:, : codes.shape[-1]][:, known])
    (written,) = by_command(tmp_path, "--bridge", song, song, "--seconds", size / RATE)
    assert torch.equal(written, audio)


def test_a_loop_repeats_without_a_click(model: SnacDiffusion, song: Path, tmp_path: Path) -> None:
    """Of nothing and of a recording, all of which stays but a quarter of a chunk at each end."""
    own, seam = audio_of(song), 16 * FRAME
    (alone,), _ = by_python(model, loop=True, seconds=2)
    (audio,), _ = by_python(model, edit=own, loop=True)
    assert len(alone) == 21 * FRAME
    assert torch.equal(audio[seam:-seam], own[seam:-seam])
    assert not torch.equal(audio[:seam], own[:seam])
    for made, flags in ((alone, ["--seconds", 2]), (audio, ["--edit", song])):
        assert abs(made[0] - made[-1]) <= made.diff().abs().max()
        (written,) = by_command(tmp_path / str(flags[0]), "--loop", *flags)
        assert torch.equal(written, made)


def test_settings_make_the_same_sample_again(model: SnacDiffusion, song: Path, repainted: Tensor, tmp_path: Path) -> None:
    (written,) = by_command(tmp_path / "first", "--edit", song, "--repaint", "3.2:5.1")
    noted = tmp_path / "first" / "song_seed_3.json"
    assert main(["generate", "--out", str(tmp_path / "again"), "--settings", str(noted)]) == 0
    assert torch.equal(audio_of(tmp_path / "again" / "song_seed_3.wav"), written)
    audio = model.generate(**options_in(json.loads(noted.read_text())) | {"edit": audio_of(song)}, progress=False)
    assert torch.equal(audio[0, 0], written)
    assert torch.equal(repainted, written)


def test_only_what_is_new_and_the_recordings_own_bit_depth(
    model: SnacDiffusion, song: Path, repainted: Tensor, tmp_path: Path
) -> None:
    own, audio, place = audio_of(song), repainted, slice(round(3.2 * RATE), round(5.1 * RATE))
    (new,) = by_command(tmp_path / "new", "--edit", song, "--repaint", "3.2:5.1", "--only-new")
    assert torch.equal(new, audio[place])
    assert torch.equal(new, by_python(model, edit=own, repaint=[(3.2, 5.1)], only_new=True)[0][0])
    for ending in ("wav", "flac"):
        (written,) = by_command(tmp_path / ending, "--edit", song, "--repaint", "3.2:5.1", "--format", ending)
        assert soundfile.info(tmp_path / ending / f"song_seed_3.{ending}").subtype == "PCM_16"
        assert_kept(written, own, place)
        assert (written - audio).abs().max() <= 1 / 2**15
    again = next(make_samples(model, Request(edit=song, repaint=[(3.2, 5.1)], format="flac", steps=4), tmp_path, seed=3))
    assert torch.equal(audio_of(again.files.wav), written)


def test_many_prompts_are_the_same_as_one_by_one(model: SnacDiffusion, song: Path, repainted: Tensor, tmp_path: Path) -> None:
    entries = [{"edit": str(song), "repaint": [[3.2, 5.1]]}, {"context": str(song), "seconds": 0.5}]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, entries)))
    first, second = by_command(tmp_path / "out", "--prompts", tmp_path / "prompts.jsonl")
    two = prompts_of(entries, {"seed": 3, "steps": 4})[1]
    assert torch.equal(repainted, first)
    own = audio_of(song)
    goes_on = model.generate(two.request, context=own, seed=two.seed, progress=False)
    assert torch.equal(torch.cat([own, goes_on[0, 0]]), second)
