"""The whole model, with a codec: audio out, through its own `generate` and through stable-audio-tools' callers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from known import KnowsTheAnswer
from stable_audio_tools.inference.generation import generate_diffusion_cond
from stable_audio_tools.inference.sampling import sample_discrete_euler
from tiny import CHUNK_FRAMES, CODEC_24KHZ, CODEC_32KHZ, tiny_model_config, write_tiny_codec

from snac_plugin.errors import Mismatch
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

CHUNK = CHUNK_FRAMES * 3072


def make_whole(
    folder: Path, codec: dict[str, Any] = CODEC_32KHZ, objective: str = "rectified_flow", **network: Any
) -> SnacDiffusion:
    """A model whose every weight matters, so that it says something."""
    config = tiny_model_config(write_tiny_codec(folder / str(codec["sampling_rate"]), codec), **network)
    config["model"]["diffusion"]["diffusion_objective"] = objective
    torch.manual_seed(0)
    model = builders.model(config)
    for parameter in model.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codecs")


@pytest.fixture(scope="module")
def model(folder: Path) -> SnacDiffusion:
    return make_whole(folder, head="logits", context_chunks=1)


def generate(model: SnacDiffusion, **options: Any) -> Any:
    return model.generate(progress=False, return_codes=True, **options)


def test_the_same_seed_gives_the_same_codes_and_audio(model: SnacDiffusion) -> None:
    """SNAC's decoder adds noise from the global generator: it must not show."""
    torch.manual_seed(1)
    first, codes = generate(model, seed=3)
    torch.manual_seed(2)
    second, again = generate(model, seed=3)
    assert torch.equal(codes, again)
    assert torch.equal(first, second)
    assert first.std() > 0
    assert not torch.equal(codes, generate(model, seed=4)[1])


def test_a_sample_of_a_batch_is_the_batch_of_one_with_its_seed(model: SnacDiffusion) -> None:
    audio, codes = generate(model, seed=10, batch_size=3, chunks=2)
    for row in range(3):
        alone, own = generate(model, seed=10 + row, chunks=2)
        assert torch.equal(codes[row], own[0])
        torch.testing.assert_close(audio[row], alone[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "samples", "chunks"),
    [
        ({}, CHUNK, 1),
        ({"chunks": 2}, 2 * CHUNK, 2),
        ({"seconds": 0.5}, 16000, 2),
        ({"sample_size": CHUNK + 1}, CHUNK + 1, 2),
        ({"sample_size": 1}, 1, 1),
        ({"seconds": 1e-9}, 1, 1),
    ],
)
def test_length_is_exact(model: SnacDiffusion, length: dict[str, Any], samples: int, chunks: int) -> None:
    audio, codes = generate(model, seed=0, **length)
    assert audio.shape == (1, 1, samples)
    assert codes.shape == (1, 15, chunks * CHUNK_FRAMES)
    assert audio.isfinite().all()
    assert audio.device.type == "cpu"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chunks": 1, "seconds": 2.0}, "length: found chunks 1 and seconds 2.0, expected one of chunks, seconds, sample_size"),
        ({"chunks": 0}, "chunks: found 0, expected a whole number above 0"),
        ({"seconds": -1.0}, "seconds: found -1.0, expected a number above 0"),
        ({"seed": -2}, "seed: found -2"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"steps": 1}, "steps: found 1, expected at least 4"),
        ({"sampler": "v-ddim"}, "sampler: found 'v-ddim'"),
        (
            {"conditioning": {"promt": "house"}},
            "conditioning: found the key 'promt', expected nothing: this model was trained without",
        ),
        ({"conditioning": [{}, {}]}, "conditioning: found 2 samples, expected 1"),
        ({"batch_size": 2, "context": [None]}, "context: found 1 recordings, expected one, or 2"),
    ],
)
def test_wrong_arguments_are_named(model: SnacDiffusion, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(Mismatch, match=message):
        generate(model, **wrong)


def test_seed_minus_one_draws_a_new_one(model: SnacDiffusion) -> None:
    assert not torch.equal(generate(model)[1], generate(model)[1])


@pytest.mark.parametrize("codec", [CODEC_32KHZ, CODEC_24KHZ], ids=["32 kHz", "24 kHz"])
@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_stable_audio_tools_generates_with_it(folder: Path, codec: dict[str, Any], objective: str, chunks: int) -> None:
    """generate_diffusion_cond as any of its programs calls it; the same seed gives the same audio."""
    model = make_whole(folder, codec, objective, context_chunks=1)
    size = chunks * CHUNK_FRAMES * model.levels.frame_samples
    options = {"steps": 8 * chunks, "cfg_scale": 6, "conditioning": [{}], "sample_size": size, "device": "cpu"}
    first, second, other = (generate_diffusion_cond(model, seed=seed, **options) for seed in (1, 1, 2))
    assert first.shape == (1, 1, size)
    assert first.isfinite().all()
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
def test_stable_audio_tools_gets_the_codes_that_a_known_denoiser_means(folder: Path, objective: str) -> None:
    """Its latents are the codebook's vectors of those codes, chunk after chunk; its v-samplers would undo finished levels."""
    model = make_whole(folder, objective=objective, context_chunks=1)
    model.model.__class__ = KnowsTheAnswer
    model.model.answer = torch.randint(4096, (1, 15, 2 * CHUNK_FRAMES))
    latents = generate_diffusion_cond(
        model, steps=96, conditioning=[{}], sample_size=2 * CHUNK, seed=0, device="cpu", return_latents=True
    )
    assert torch.equal(model.pretransform.space.to_codes(latents), model.model.answer)


def test_the_call_of_its_demo_callback_works(model: SnacDiffusion) -> None:
    noise = torch.randn(2, model.io_channels, CHUNK_FRAMES)
    inputs = model.get_conditioning_inputs(model.conditioner([{}, {}], "cpu"))
    arguments = {"cfg_scale": 3, "dist_shift": model.dist_shift, "batch_cfg": True, "disable_tqdm": True}
    fakes = sample_discrete_euler(model.model, noise, 8, **inputs, **arguments)
    assert model.pretransform.decode(fakes).shape == (2, 1, CHUNK)


def test_generating_with_a_v_model_ends_on_its_own_sampler(folder: Path) -> None:
    model = make_whole(folder, objective="v", head="logits", sampling={"steps": 4, "sampler": "v-ddim"})
    audio, codes = generate(model, seed=1)
    assert audio.shape == (1, 1, CHUNK)
    assert len(codes.unique()) > 4
