"""Context from audio, codes or nothing."""

from typing import Any

import pytest
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.errors import AudioError, Mismatch
from snac_plugin.generation.context import context_of
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

FRAME = 3072


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    """A model with two chunks of context of four frames each, and a `snac_context` conditioner beside a number."""
    config = tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")), context_chunks=2, prepend_cond_dim=8)
    number = {"id": "seconds", "type": "number", "config": {"min_val": 0, "max_val": 9}}
    configs = [{"id": "before", "type": "snac_context", "config": {}}, number]
    config["model"]["conditioning"] = {"configs": configs, "cond_dim": 8}
    config["model"]["diffusion"]["prepend_cond_ids"] = ["before", "seconds"]
    config["training"]["demo"]["demo_cond"] = [{"seconds": 3}]
    torch.manual_seed(0)
    built = builders.model(config).eval()
    with torch.no_grad():
        for parameter in built.model.parameters():
            if not parameter.any():
                parameter.normal_()
    return built


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("frames", "kept"), [(1, 1), (3, 3), (4, 4), (7, 4), (8, 8), (30, 8)])
def test_the_last_whole_chunks_are_kept(model: SnacDiffusion, frames: int, kept: int) -> None:
    """Below a chunk all whole frames count; above, whole chunks: the network was trained on those."""
    context = context_of([sound(frames * FRAME + 100)], model.pretransform, CHUNK_FRAMES, 2, "cpu")
    assert context is not None
    assert int(context.mask.sum()) == kept
    assert context.codes.shape[-1] % CHUNK_FRAMES == 0
    assert context.mask[0, -kept:].all()


def test_the_last_frame_ends_with_the_recording(model: SnacDiffusion) -> None:
    """A grid laid from the recording's start would leave up to a frame of silence between context and chunk."""
    audio = sound(20 * FRAME + 1234)
    context = context_of([audio], model.pretransform, CHUNK_FRAMES, 2, "cpu")
    aligned = model.pretransform.tokenize(audio[None, None, -16 * FRAME :])  # eight frames are heard before those that count
    assert context is not None
    assert torch.equal(context.codes[0], aligned[0, :, -8:])
    assert context.tail is not None
    torch.testing.assert_close(context.tail[0], audio[-FRAME:])


def test_samples_without_context_are_masked(model: SnacDiffusion) -> None:
    """One recording in a batch must not become the context of its neighbours."""
    context = context_of([None, sound(4 * FRAME), sound(8 * FRAME)], model.pretransform, CHUNK_FRAMES, 2, "cpu")
    assert context is not None
    assert context.mask.sum(dim=1).tolist() == [0, 4, 8]
    assert context_of([None, None], model.pretransform, CHUNK_FRAMES, 2, "cpu") is None


def test_stereo_and_other_rates_are_converted(model: SnacDiffusion) -> None:
    """A recording of another rate gives the frames of its own duration."""
    context = context_of([(16000, sound(4 * FRAME).expand(2, -1))], model.pretransform, CHUNK_FRAMES, 2, "cpu")
    assert context is not None
    assert int(context.mask.sum()) == 8


def test_arrays_are_taken_like_tensors(model: SnacDiffusion) -> None:
    """What soundfile reads is an array, of float64 by default."""
    audio = sound(4 * FRAME)
    first, second = (context_of([x], model.pretransform, CHUNK_FRAMES, 2, "cpu") for x in (audio, (32000, audio.double().numpy())))
    assert first is not None
    assert second is not None
    assert torch.equal(first.codes, second.codes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("file.wav", "context: found 'file.wav'.*read_audio reads a file"),
        ((0, torch.zeros(9)), r"context: found \(0, "),
        (("fast", torch.zeros(9)), "context: found .*rate, audio"),
        (torch.zeros(9000, 2), r"shape \(9000, 2\).*channels come first"),
    ],
)
def test_what_is_no_audio_is_named(model: SnacDiffusion, wrong: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        context_of([wrong], model.pretransform, CHUNK_FRAMES, 2, "cpu")


def test_what_is_no_recording_is_named(model: SnacDiffusion) -> None:
    with pytest.raises(AudioError, match=r"\[channels, samples\]"):
        context_of([sound(99)[None, None]], model.pretransform, CHUNK_FRAMES, 2, "cpu")
    with pytest.raises(Mismatch, match=r"\[15, frames\]"):
        context_of([torch.zeros(3, 8, dtype=torch.long)], model.pretransform, CHUNK_FRAMES, 2, "cpu")


def test_the_conditioner_reads_metadata_and_may_be_left_out(model: SnacDiffusion) -> None:
    """stable-audio-tools' conditioners fail on a missing key; continuing nothing is not an error."""
    without = model.get_conditioning_inputs(model.conditioner([{"seconds": 3.0}], "cpu"))
    assert "context" not in without
    assert without["prepend_cond"].shape == (1, 1, 8)
    audio = sound(8 * FRAME)
    given = model.get_conditioning_inputs(model.conditioner([{"seconds": 3.0, "before": audio}], "cpu"))
    codes = model.pretransform.tokenize(audio[None, None])
    torch.testing.assert_close(given["context"], model.pretransform.codes_to_latents(codes))
    assert given["context_mask"].all()
    assert given["prepend_cond"].shape == (1, 1, 8)


def test_metadata_and_argument_are_one(model: SnacDiffusion) -> None:
    """Context from the metadata and from `context=` give the same music; another context gives other music."""
    options = {"seed": 1, "steps": 4, "progress": False, "return_codes": True}
    audio = sound(8 * FRAME)
    _, by_argument = model.generate(context=audio, conditioning={"seconds": 3.0}, **options)
    _, by_metadata = model.generate(conditioning={"seconds": 3.0, "before": audio}, **options)
    _, other = model.generate(context=sound(8 * FRAME, 1), conditioning={"seconds": 3.0}, **options)
    assert torch.equal(by_argument, by_metadata)
    assert not torch.equal(by_argument, other)


def test_continuing_chunk_by_chunk_is_continuing(model: SnacDiffusion) -> None:
    """The second chunk of one call is the first chunk of a call that is given the first as context."""
    options = {"conditioning": {"seconds": 3.0}, "steps": 4, "progress": False, "return_codes": True}
    start = torch.randint(4096, (15, 8), generator=torch.Generator().manual_seed(0))
    _, both = model.generate(context=start, chunks=3, seed=1, **options)
    chunk = CHUNK_FRAMES
    assert both.shape[-1] == 3 * chunk
    from snac_plugin.generation.chunks import generate_chunks
    from snac_plugin.generation.request import Request
    from snac_plugin.generation.settings import resolve

    settings = resolve(Request(steps=4), model.model.network.config, "ABCD", "rectified_flow")
    told = model.conditions([{"seconds": 3.0}])
    again = start[None]
    for index in range(3):
        # the seed of a stage counts chunks, so chunk `index` alone is the last of `index + 1` chunks whose others are ignored
        *_, last = generate_chunks(model.model, told, [1], settings, index + 1, context=start[None], progress=False)
        again = torch.cat([again, last], dim=-1)
    assert torch.equal(again[0, :, 8:], both[0])
