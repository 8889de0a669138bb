"""Recordings that are repainted, varied, led into, bridged and looped, by the whole model with a codec."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_audio_tools.inference.generation import generate_diffusion_cond_inpaint
from test_snac_diffusion import CHUNK, make_whole
from tiny import CHUNK_FRAMES
from torch import Tensor

from snac_plugin.errors import Mismatch, UsageError
from snac_plugin.generation.editing import Edit, _frames_of, edit_of
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.diffusion_model import SnacDiffusionModel

RATE = 32000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    """A model that says it was trained with gaps."""
    made = make_whole(tmp_path_factory.mktemp("codec"), head="logits", context_chunks=1)
    made.config = _with_infill(made.config, {"share": 0.5})
    return made


def _with_infill(config: Any, infill: Any) -> Any:
    from snac_plugin.config.training_keys import InfillSection

    chosen = None if infill is None else InfillSection(**infill)
    return config.model_copy(update={"training": config.training.model_copy(update={"infill": chosen})})


def tone(samples: int, rate: int = RATE, channels: int = 1) -> Tensor:
    time = torch.arange(samples) / rate
    return torch.stack([0.3 * torch.sin(2 * math.pi * 220 * time + 0.7 * c) for c in range(channels)])


def largest_step(audio: Tensor) -> float:
    return float(audio.diff(dim=-1).abs().max())


def test_a_splice_changes_its_spans_alone_and_jumps_nowhere() -> None:
    """Even where what is generated has nothing to do with the recording; where it is the recording, nothing changes."""
    own = tone(20000, channels=2)
    edit = Edit(RATE, own, ((0, 3000), (7000, 11000), (18000, 20000)))
    new = 0.2 * torch.cos(torch.arange(20000) / 40) + 0.5
    made = edit.with_new(new)
    outside = torch.ones(20000, dtype=torch.bool)
    for start, stop in edit.spans:
        outside[start:stop] = False
    assert torch.equal(made[:, outside], own[:, outside])
    assert not torch.equal(made, own)
    smooth = max(largest_step(own), largest_step(new))
    for border in (3000, 7000, 11000, 18000):
        assert largest_step(made[:, border - 2 : border + 2]) < 2 * smooth
    mono = Edit(RATE, own[:1], ((7000, 11000),))
    assert torch.equal(mono.with_new(own[0]), own[:1])
    assert torch.equal(mono.with_new(own[0, 5000:12000], 5000), own[:1])


def test_codes_around_a_gap_are_those_of_the_recording(model: SnacDiffusion) -> None:
    """A frame begins where the gap does; a long recording is encoded only as far as the model sees."""
    audio, frame = tone(200 * 3072)[0], 3072
    start, stop = 100 * frame + 700, 102 * frame
    known, first = _frames_of(audio, ((start, stop),), model.pretransform, CHUNK_FRAMES, CHUNK_FRAMES)
    gap = (start - first) // frame
    assert (start - first) % frame == 0
    assert (~known.frames).nonzero().flatten().tolist() == [gap, gap + 1]
    assert known.codes.shape[-1] < 200
    whole = model.pretransform.tokenize(audio[None, None, start % frame :])
    near = slice(gap - CHUNK_FRAMES, gap + CHUNK_FRAMES)
    position = first // frame
    assert torch.equal(known.codes[..., near], whole[..., position + near.start : position + near.stop])


def generate(model: SnacDiffusion, **options: Any) -> Any:
    return model.generate(progress=False, **{"seed": 1} | options)


def test_repainting_leaves_all_other_samples(model: SnacDiffusion) -> None:
    own = tone(2 * RATE)
    made = generate(model, edit=own[0], repaint=[(0.4, 0.9), (1.5, 1.6)], batch_size=2)
    assert made.shape == (2, 1, 2 * RATE)
    outside = torch.ones(2 * RATE, dtype=torch.bool)
    for first, last in ((0.4, 0.9), (1.5, 1.6)):
        outside[round(first * RATE) : round(last * RATE)] = False
    assert torch.equal(made[..., outside], own.expand(2, 1, -1)[..., outside])
    assert not torch.equal(made[0], made[1])
    assert torch.equal(made[:1], generate(model, edit=own[0], repaint=[(0.4, 0.9), (1.5, 1.6)]))
    inside = largest_step(made[..., 13000:28000])
    for border in (12800, 28800):
        assert largest_step(made[..., border - 1 : border + 1]) <= 2 * inside
    alone = generate(model, edit=own[0], repaint=[(0.4, 0.9), (1.5, 1.6)], only_new=True)
    assert torch.equal(alone, made[:1, :, ~outside])


def test_kept_levels_are_those_of_the_recording(model: SnacDiffusion) -> None:
    """A model without training on gaps does it too."""
    own = tone(3 * CHUNK + 5000)[0]
    audio, codes = generate(model, edit=own, keep_levels="ab", return_codes=True)
    whole = model.pretransform.tokenize(own[None, None])
    assert torch.equal(codes[:, :3], whole[:, :3])
    assert not torch.equal(codes[:, 3:], whole[:, 3:])
    assert audio.shape[-1] == len(own)
    untrained = make_whole(Path(model.pretransform.codec_name).parent, head="logits", context_chunks=1)
    assert torch.equal(generate(untrained, edit=own, keep_levels="AB"), audio)


def test_a_strength_goes_as_far_as_it_says(tmp_path: Path) -> None:
    """The head that knows its own noised point finds the code again at little noise."""
    model, own = make_whole(tmp_path, head="posterior"), tone(CHUNK)[0]
    whole = model.pretransform.tokenize(own[None, None])

    def kept(strength: Any) -> list[float]:
        _, codes = generate(model, edit=own, strength=strength, return_codes=True, sampler="euler")
        pairs = zip(model.levels.unpack(codes), model.levels.unpack(whole), strict=True)
        return [float((a == b).double().mean()) for a, b in pairs]

    by_level = kept({"A": 0, "B": 0.01, "C": 0, "D": 1})
    assert by_level[0] == by_level[2] == 1
    assert by_level[1] > 0.9
    assert by_level[3] < 0.1
    assert min(kept(0.05)) > 0.9
    assert max(kept(0.9)) < 0.1


@pytest.mark.parametrize("put_back", [False, True])
def test_a_lead_in_and_a_bridge_have_the_recordings_at_their_ends(model: SnacDiffusion, put_back: bool) -> None:
    first, second = tone(RATE)[0], tone(RATE)[0].flip(0) * 0.5
    lead = generate(model, before=second, seconds=0.7, put_back=put_back or None)
    assert lead.shape[-1] == RATE + 22400
    assert torch.equal(lead[0, 0, 22400:], second)
    assert lead[0, 0, :22400].std() > 0
    bridge = generate(model, bridge=(first, second), seconds=0.7, put_back=put_back or None)
    assert torch.equal(bridge[0, 0, :RATE], first)
    assert torch.equal(bridge[0, 0, -RATE:], second)
    assert generate(model, bridge=(first, second), seconds=0.7, only_new=True, put_back=put_back or None).shape[-1] == 22400
    ends = second, 0.3 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    made = [generate(model, bridge=(first, end), seconds=0.3, only_new=True, put_back=put_back or None) for end in ends]
    assert not torch.equal(*(new[..., :8000] for new in made))  # the end counts, and not by the join alone


@pytest.mark.parametrize("recorded", [False, True])
def test_a_loop_repeats_without_a_click(model: SnacDiffusion, recorded: bool) -> None:
    """The step from the last sample to the first is one like any other there."""
    own = 0.3 * torch.sin(torch.arange(3 * CHUNK + 777) ** 1.2 / 300)
    made = generate(model, edit=own, loop=True) if recorded else generate(model, loop=True, seconds=1.0)
    assert made.shape[-1] == len(own) if recorded else made.shape[-1] == 10 * 3072  # whole frames
    twice = torch.cat([made, made], dim=-1)[0, 0]
    middle, size = made.shape[-1], 2000
    step = abs(float(twice[middle] - twice[middle - 1]))
    around = torch.cat([twice[middle - size : middle - 1], twice[middle + 1 : middle + size]])
    assert step <= largest_step(around) * 1.5
    if recorded:
        seam = CHUNK // 4
        assert torch.equal(made[0, 0, seam:-seam], own[seam:-seam])
        assert not torch.equal(made[0, 0, :seam], own[:seam])


def test_a_recording_is_continued_from_a_second_of_it(model: SnacDiffusion) -> None:
    own = tone(2 * RATE)[0]
    cut = generate(model, context=own, from_second=1.25, seconds=0.3)
    assert torch.equal(cut, generate(model, context=own[:40000], seconds=0.3))
    with pytest.raises(UsageError, match="from_second: found 3, expected a second of the recording, which has 2"):
        generate(model, context=own, from_second=3)
    with pytest.raises(UsageError, match="from_second: found 3, expected context beside it"):
        generate(model, from_second=3)


def test_a_model_that_was_not_trained_for_it_says_so(model: SnacDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "config", _with_infill(model.config, None))
    own = tone(RATE)[0]
    for options in ({"edit": own, "repaint": [(0.2, 0.4)]}, {"before": own}, {"bridge": (own, own)}, {"loop": True}):
        name = [*options][-1]
        with pytest.raises(UsageError, match=rf"^{name}: found a model that was trained without known frames.*put_back"):
            generate(model, **options)
        assert generate(model, **options, put_back=True).isfinite().all()


def inpaint(model: SnacDiffusion, mask: Tensor, audio: Tensor | None, **options: Any) -> Tensor:
    """stable-audio-tools' own call."""
    call: dict[str, Any] = {"steps": 48, "conditioning": [{}], "sample_size": 2 * CHUNK, "seed": 0, "device": "cpu"}
    given = None if audio is None else (RATE, audio)
    return generate_diffusion_cond_inpaint(model, inpaint_mask=mask, inpaint_audio=given, return_latents=True, **call | options)


def test_the_mask_of_stable_audio_tools_is_kept(model: SnacDiffusion) -> None:
    """Where it is 1 the codes of the recording come back, elsewhere those of the model; the recording's future counts."""
    own, frames = tone(2 * CHUNK), 2 * CHUNK_FRAMES
    kept = torch.tensor([1, 1, 0, 0, 0, 1, 0, 1], dtype=torch.bool)
    mask = kept.repeat_interleave(3072)[None].float()
    whole = model.pretransform.tokenize(own[None])
    found = model.pretransform.space.to_codes(inpaint(model, mask, own))
    assert found.shape[-1] == frames
    assert torch.equal(found[..., kept], whole[..., kept])
    plain = model.pretransform.space.to_codes(inpaint(model, torch.zeros_like(mask), own))
    assert not torch.equal(plain[..., kept], whole[..., kept])
    assert torch.equal(plain, model.pretransform.space.to_codes(inpaint(model, None, None)))  # type: ignore[arg-type]
    everything = model.pretransform.space.to_codes(inpaint(model, torch.ones_like(mask), own))
    assert torch.equal(everything, whole)


def test_a_known_denoiser_fills_the_mask_s_gap_with_its_codes(tmp_path: Path) -> None:
    model, own = make_whole(tmp_path, context_chunks=1), tone(2 * CHUNK)
    model.config = _with_infill(model.config, {"share": 0.5})
    model.model.__class__ = KnowsTheGap
    model.model.answer = torch.randint(4096, (1, 15, 2))
    kept = torch.tensor([1, 0, 0, 1, 1, 1, 1, 1], dtype=torch.bool)
    found = model.pretransform.space.to_codes(inpaint(model, kept.repeat_interleave(3072)[None].float(), own, steps=96))
    assert torch.equal(found[..., ~kept], model.model.answer)
    assert torch.equal(found[..., kept], model.pretransform.tokenize(own[None])[..., kept])


class KnowsTheGap(SnacDiffusionModel):
    """Denoises the unknown frames to `answer`."""

    answer: Tensor

    def velocity(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        denoised = self.space.level_latents(level, self.levels.unpack(self.answer)[level])
        return self.objective.output_of(x, denoised.repeat(len(x), 1, 1), t[:, None, None])


def test_a_mask_that_cannot_be_kept_is_refused(model: SnacDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken and did nothing."""
    mask, own = torch.ones(1, 2 * CHUNK), tone(2 * CHUNK)
    with pytest.raises(UsageError, match="inpaint_audio: found nothing, expected the recording"):
        inpaint(model, mask, None)
    differing = torch.stack([mask[0], mask[0] * 0])
    with pytest.raises(UsageError, match="inpaint_mask: found masks that differ"):
        inpaint(model, differing, own, batch_size=2, conditioning=[{}] * 2)
    monkeypatch.setattr(model, "config", _with_infill(model.config, None))
    with pytest.raises(UsageError, match=r"inpaint_mask: found a model that was trained without known frames.*put_back"):
        inpaint(model, mask, own)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"edit": "song.wav", "keep_levels": "A"}, r"edit: found 'song.wav', expected audio .*read_audio reads a file"),
        (
            {"edit": torch.zeros(RATE), "keep_levels": "B"},
            "keep_levels: found B, expected levels from the coarsest on, as one word",
        ),
        ({"edit": torch.zeros(RATE), "keep_levels": "ABCD"}, "keep_levels: found ABCD"),
        (
            {"edit": torch.zeros(RATE), "strength": {"A": 0.5}},
            "strength: found .*, expected one number, or one for each",
        ),
        ({"edit": torch.zeros(RATE), "strength": 0.0}, "strength: found 0.0, expected more than 0"),
        ({"edit": torch.zeros(RATE), "repaint": [(0.5, 1.5)]}, "repaint: found 0.500 to 1.500 s in a recording of 1.000 s"),
        ({"bridge": (torch.zeros(9), (16000, torch.zeros(9)))}, "bridge: found 32000 Hz with channels: 1, then 16000 Hz"),
        ({"edit": torch.zeros(RATE), "keep_levels": "A", "context": torch.zeros(RATE)}, "context: found a recording to continue"),
        ({"loop": True, "seconds": 0.2}, "seconds: found 0.200, expected 0.* s or more for a loop"),
    ],
)
def test_what_cannot_be_edited_is_named(model: SnacDiffusion, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(Mismatch, match=message):
        generate(model, **wrong)


def test_spans_that_touch_are_one() -> None:
    request = Request(edit=torch.zeros(RATE), repaint=[(0.5, 0.6), (0.1, 0.3), (0.2, 0.25), (0.3, 0.4)])
    edit = edit_of(request, CHUNK, RATE)
    assert edit is not None
    assert edit.spans == ((3200, 12800), (16000, 19200))
