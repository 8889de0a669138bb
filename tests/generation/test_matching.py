"""What is new has the level and the coarse spectrum of the recording beside it; how loud it is, scipy measures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
from test_snac_diffusion import CHUNK, make_whole
from torch import Tensor

from snac_plugin.codec.streaming import StreamDecoder
from snac_plugin.generation import matching
from snac_plugin.generation.editing import edit_of
from snac_plugin.generation.joining import JOIN_SECONDS, join
from snac_plugin.generation.matching import matched, matched_to
from snac_plugin.generation.request import Request, options_in
from snac_plugin.generation.snac_diffusion import SnacDiffusion

RATE = 32000
NONE = torch.zeros(0)
FADE = round(matching.FADE_SECONDS * RATE)


def noise(seconds: float, seed: int = 0, level: float = 0.05) -> Tensor:
    return level * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def filtered(audio: Tensor, limits: Any, kind: str) -> Tensor:
    sections = scipy.signal.butter(2, limits, kind, fs=RATE, output="sos")
    return torch.from_numpy(scipy.signal.sosfilt(sections, audio.numpy()).astype(np.float32))


def octaves_db(audio: Tensor) -> np.ndarray:
    frequencies, power = scipy.signal.welch(audio.numpy(), RATE, nperseg=2048)
    edges = [70 * 2**octave for octave in range(9)]
    return np.array([10 * np.log10(power[(frequencies >= low) & (frequencies < 2 * low)].mean()) for low in edges[:-1]])


@pytest.mark.parametrize("samples", [5001, 64000])
@pytest.mark.parametrize("rate", [8000, 32000, 44100])
def test_bands_add_up_to_the_audio(samples: int, rate: int) -> None:
    """A correction of nothing changes nothing; one of 6 dB in all bands is a factor."""
    audio = noise(3)[:samples]
    bands = len([*matching.band_masks(100, rate)])
    for decibels, factor in ((0, 1), (20 * np.log10(2), 2)):
        made = matching._corrected(audio, np.full((1, bands), decibels), torch.ones(1, samples), rate)
        torch.testing.assert_close(made, factor * audio, rtol=0, atol=2e-6)


def test_a_dull_quiet_continuation_becomes_what_it_follows_and_fades_back() -> None:
    """White noise through a filter, after the same noise without it."""
    whole = noise(12)
    start = 3 * RATE
    dull = 0.6 * (whole + 2 * filtered(whole, 1000, "lowpass")) / 2
    made = matched(dull, (start, len(whole)), RATE, whole[:start], NONE)
    near = slice(start, start + RATE // 2)
    assert abs(octaves_db(dull[near]) - octaves_db(whole[near])).max() > 3
    assert abs(octaves_db(made[near]) - octaves_db(whole[near])).max() < 1
    assert torch.equal(made[start + FADE + RATE :], dull[start + FADE + RATE :])
    assert torch.equal(made[: start - RATE], dull[: start - RATE])
    seconds = [
        abs(octaves_db(part) - octaves_db(own)).mean()
        for part, own in zip(made[start:].split(RATE), dull[start:].split(RATE), strict=True)
    ]
    assert seconds[:5] == sorted(seconds[:5], reverse=True)


def test_of_two_joins_each_counts_near_itself() -> None:
    """Loud before, quiet after."""
    new, loud, quiet = noise(10, seed=1), noise(3, level=0.1), noise(3, level=0.02)
    made = matched(torch.cat([loud, new, quiet]), (3 * RATE, 13 * RATE), RATE, loud, quiet)[3 * RATE : 13 * RATE]
    levels = [float(20 * part.square().mean().sqrt().log10()) for part in made.split(RATE // 2)]
    assert levels[0] == pytest.approx(-20, abs=0.7)
    assert levels[10] == pytest.approx(-26, abs=0.7)
    assert levels[-1] == pytest.approx(-34, abs=0.7)
    short = matched(torch.cat([loud, new[:RATE], quiet]), (3 * RATE, 4 * RATE), RATE, loud, quiet)[3 * RATE : 4 * RATE]
    ends = [float(20 * part.square().mean().sqrt().log10()) for part in (short[:2000], short[-2000:])]
    assert ends == pytest.approx([-20, -34], abs=1)


@pytest.mark.parametrize(("level", "most"), [(0.05 / 10 ** (14 / 20), 12.5), (0.05 / 10 ** (40 / 20), 0.1), (0.0, 0.0)])
def test_silence_and_what_is_far_away_are_not_blown_up(level: float, most: float) -> None:
    """14 dB are mended by 10, 40 dB and silence are meant."""
    loud, new = noise(3), noise(6, 1, level)
    for before, after in ((loud, new), (new[: len(loud)], torch.cat([loud, loud]))):
        made = matched(torch.cat([before, after]), (len(loud), len(loud) + len(after)), RATE, before, NONE)[len(loud) :]
        assert made.isfinite().all()
        if level:
            gain = 20 * float((made[:RATE].norm() / after[:RATE].norm()).log10())
            assert abs(gain) <= most
        else:
            assert torch.allclose(made, after, atol=1e-6)


def test_nothing_clips_that_did_not() -> None:
    loud, new = noise(3, level=0.9).clamp(-1, 1), noise(6, 1, 0.3).clamp(-0.95, 0.95)
    made = matched(torch.cat([loud, new]), (len(loud), len(loud) + len(new)), RATE, loud, NONE)
    assert made[len(loud) :].abs().max() <= 1.0001
    assert made[len(loud) :].square().mean() > new.square().mean()
    assert matched_to(new, 3 * new, RATE).abs().max() <= 1.0001


def test_a_variation_is_as_loud_as_its_source() -> None:
    source = noise(8)
    dull = filtered(source, 500, "lowpass")
    assert abs(octaves_db(matched_to(0.5 * source, source, RATE)) - octaves_db(source)).max() < 0.1
    change = octaves_db(matched_to(dull, source, RATE)) - octaves_db(dull)
    assert abs(change[[0, 1, -1]]).max() < 1
    assert change[3] > 5  # 9 dB below its source, where the highest octave is 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    return make_whole(tmp_path_factory.mktemp("codec"), head="logits", context_chunks=1)


OPTIONS: dict[str, Any] = {"progress": False, "seed": 1, "steps": 4}


def test_the_command_and_python_hear_the_same_in_pieces_and_whole(model: SnacDiffusion) -> None:
    """The chunks of this model are shorter than the fade; none is given before all that it depends on is there."""
    options = OPTIONS | {"context": noise(1.0), "batch_size": 2}
    pieces = [piece.audio for piece in model.stream(chunks=18, **options)]
    whole = model.generate(chunks=18, **options)
    assert torch.equal(torch.cat(pieces, dim=-1), whole)
    plain = model.generate(chunks=18, match=False, **options)
    assert not torch.equal(whole[..., :RATE], plain[..., :RATE])
    assert torch.equal(whole[..., FADE + RATE :], plain[..., FADE + RATE :])
    torch.testing.assert_close(whole[:1], model.generate(chunks=18, **OPTIONS, context=noise(1.0)), rtol=0, atol=1e-5)


def test_without_it_the_new_audio_is_the_decoder_s_own(model: SnacDiffusion) -> None:
    """Bit for bit what it was before there was any matching: decoded after the context, and joined."""
    own = noise(1.0)
    audio, codes = model.generate(context=own, chunks=2, match=False, return_codes=True, **OPTIONS)
    context = model._encoded([own])
    assert context is not None
    assert context.tail is not None
    decoder = StreamDecoder(model.pretransform, [1])
    frames = min(2 * model.pretransform.margin, context.codes.shape[-1] // 4 * 4)
    decoded = torch.cat([decoder.push(part) for part in (context.codes[..., -frames:], *codes.split(CHUNK // 3072, -1))], dim=-1)
    decoded, size = torch.cat([decoded, decoder.finish()], dim=-1), round(JOIN_SECONDS * RATE)
    before, new = decoded.split([frames * 3072, 2 * CHUNK], dim=-1)
    assert torch.equal(audio, join(new, context.tail[:, None, -size:], before[..., -size:]))
    source = noise(1.0, 5)
    audio, codes = model.generate(edit=source, keep_levels="A", match=False, return_codes=True, **OPTIONS)
    edit = edit_of(Request(edit=source, keep_levels="A"), CHUNK, RATE)
    assert edit is not None
    assert torch.equal(audio[0], edit.with_new(model.decode(codes, [1])[0, 0]))


@pytest.mark.parametrize(
    "options",
    [
        {"repaint": [(0.5, 0.9)], "put_back": True},
        {"keep_levels": "A"},
        {"keep_levels": "AB", "repaint": [(0.5, 0.9)], "put_back": True},
    ],
)
def test_edits_are_matched_and_leave_what_stays(model: SnacDiffusion, options: dict[str, Any]) -> None:
    own = noise(1.5)
    plain, made = (model.generate(edit=own, match=match, **options, **OPTIONS)[0, 0] for match in (False, True))
    first, last = (16000, 28800) if "repaint" in options else (0, len(own))
    assert torch.equal(made[:first], own[:first])
    assert torch.equal(made[last:], own[last:])
    difference = [float((20 * (one[first:last].norm() / own[first:last].norm()).log10()).abs()) for one in (plain, made)]
    assert difference[1] < difference[0]


def test_codes_have_no_level_to_match(model: SnacDiffusion) -> None:
    codes = torch.randint(4096, (15, 4))
    assert torch.equal(*(model.generate(context=codes, match=match, **OPTIONS) for match in (True, False)))


def test_samples_of_earlier_versions_were_not_matched(tmp_path: Path) -> None:
    """Their settings make them again, which do not know of it."""
    assert options_in({"seed": 1, "seconds": 2, "continues": {}})["match"] is False
    assert options_in({"seed": 1, "seconds": 2, "continues": {}} | Request().as_dict())["match"] is True
