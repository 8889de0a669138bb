"""The contract of stable-audio-tools' Pretransform, and what makes this one exact."""

import copy
import inspect

import pytest
import torch
from small_codecs import small_codec
from stable_audio_tools.models.pretransforms import AutoencoderPretransform, Pretransform

from snac_plugin.codec.load import Codec, load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.errors import AudioError, Mismatch


def noise_audio(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(seed))


def test_it_has_all_that_stable_audio_tools_asks_of_a_pretransform(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    assert isinstance(pretransform, Pretransform)
    for name, _ in inspect.getmembers(AutoencoderPretransform, inspect.isfunction):
        assert callable(getattr(pretransform, name))
    levels = codec.levels
    assert (pretransform.io_channels, pretransform.encoded_channels) == (1, levels.channels)
    assert (pretransform.downsampling_ratio, pretransform.sample_rate) == (levels.frame_samples, levels.sample_rate)
    assert (pretransform.is_discrete, pretransform.num_quantizers, pretransform.codebook_size) == (True, levels.rows, 4096)
    assert pretransform.model_half is False
    assert pretransform.enable_grad is False
    assert not hasattr(pretransform, "scale")  # its training wrapper would divide pre-encoded latents by it
    assert next(pretransform.parameters()).dtype == torch.float32
    audio = noise_audio(2, 3 * levels.frame_samples)
    assert pretransform.encode(audio).shape == (2, levels.channels, 3)
    assert pretransform.tokenize(audio).shape == (2, levels.rows, 3)


def test_codes_are_those_of_snac(codec: Codec) -> None:
    audio = noise_audio(2, 5 * codec.levels.frame_samples + 7)
    expected = codec.levels.pack(codec.model.encode(audio))
    codes = SnacPretransform(codec).tokenize(audio)
    assert codes.shape[-1] == 6
    assert torch.equal(codes, expected[..., :6])
    assert len(codes.unique()) > 50


@pytest.mark.parametrize("samples", [1, 2047, 3072, 12_288, 12_289, 40_001])
def test_a_round_trip_has_exactly_the_inputs_length(codec: Codec, samples: int) -> None:
    pretransform = SnacPretransform(codec)
    latents = pretransform.encode(noise_audio(1, samples))
    assert latents.shape[-1] == codec.levels.frames_for(samples)
    assert pretransform.decode(latents, length=samples).shape == (1, 1, samples)
    assert pretransform.decode(latents).shape[-1] == latents.shape[-1] * pretransform.downsampling_ratio


def test_latents_of_codes_give_the_codes_back(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    codes = pretransform.tokenize(noise_audio(2, 20_000))
    latents = pretransform.codes_to_latents(codes)
    assert torch.equal(pretransform.space.to_codes(latents), codes)
    assert torch.equal(pretransform.space.snap(latents + 1e-3 * torch.randn_like(latents)), latents)
    assert torch.equal(pretransform.decode(latents, seed=3), pretransform.decode_tokens(codes, seed=3))
    level = len(codec.levels) - 1
    assert torch.equal(latents[0, -8:, 0], pretransform.space.codebooks[level][codes[0, -1, 0]])


def test_decoding_is_snacs_own_but_for_where_the_noise_comes_from(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    codes = pretransform.tokenize(noise_audio(1, 8 * codec.levels.frame_samples))
    with torch.no_grad():
        for block in codec.model.modules():
            if type(block).__name__ == "NoiseBlock":
                block.linear.parametrizations.weight.original0.zero_()
        torch.testing.assert_close(
            pretransform.decode_tokens(codes), codec.model.decode(codec.levels.unpack(codes)), atol=1e-6, rtol=1e-4
        )


@pytest.mark.parametrize("seconds", [0.01, 1.5])
def test_pieces_give_what_the_whole_file_gives(codec: Codec, seconds: float) -> None:
    """Too little context, attention windows off the grid, or noise that starts anew in each piece would all show."""
    whole, cut = SnacPretransform(codec, piece_seconds=1000), SnacPretransform(codec, piece_seconds=seconds)
    audio = noise_audio(1, 41 * codec.levels.frame_samples + 5)
    codes = whole.tokenize(audio)
    assert cut.piece_frames < codes.shape[-1] // 2
    assert (cut.tokenize(audio) == codes).float().mean() > 0.999  # rounding may turn a tie
    length = audio.shape[-1]
    torch.testing.assert_close(cut.decode_tokens(codes, length, 5), whole.decode_tokens(codes, length, 5), atol=1e-5, rtol=0)


def test_the_stated_margin_is_enough_and_needed(codec: Codec) -> None:
    """Changing audio further from a frame than the margin leaves its codes alone; the margin is no bigger than needed."""
    pretransform = SnacPretransform(codec)
    frame, margin, grid = codec.levels.frame_samples, pretransform.margin, codec.levels.grid_frames
    far, near = noise_audio(1, 40 * frame), noise_audio(1, 40 * frame)
    far[..., : (20 - margin) * frame] = 0
    near[..., : 20 * frame - 1] = 0
    expected = pretransform.tokenize(noise_audio(1, 40 * frame))
    assert torch.equal(pretransform.tokenize(far)[..., 20:], expected[..., 20:])
    assert not torch.equal(pretransform.tokenize(near)[..., 20:], expected[..., 20:])
    assert margin <= max(2 * grid, 3)


def test_the_same_seed_gives_the_same_wav_and_leaves_the_global_generator_alone(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    codes = pretransform.tokenize(noise_audio(2, 30_000))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = pretransform.decode_tokens(codes, seed=11)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(pretransform.decode_tokens(codes, seed=11), first)
    assert not torch.equal(pretransform.decode_tokens(codes, seed=12), first)
    assert torch.equal(pretransform.decode_tokens(codes), pretransform.decode_tokens(codes))


def test_an_example_sounds_the_same_alone_and_in_a_batch(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    codes = pretransform.tokenize(noise_audio(3, 20_000))
    together = pretransform.decode_tokens(codes, seed=7)
    for index in range(3):
        alone = pretransform.decode_tokens(codes[index : index + 1], seed=7 + index)
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        pretransform.decode_tokens(codes, seed=[9, 8, 7])[2:],
        together[:1] * 0 + pretransform.decode_tokens(codes[2:], seed=7),
        atol=1e-5,
        rtol=0,
    )
    one_by_one = SnacPretransform(codec, iterate_batch=True)
    torch.testing.assert_close(one_by_one.decode_tokens(codes, seed=7), together, atol=1e-5, rtol=0)
    assert torch.equal(one_by_one.tokenize(noise_audio(3, 20_000)), codes)


def test_the_end_of_a_file_off_the_grid_sounds_as_snac_makes_it() -> None:
    """Frames beyond the end are padded with the codes of silence, which is what SNAC's own padding of the audio becomes."""
    codec = load_codec("snac_tiny_32khz")
    pretransform = SnacPretransform(codec)
    audio = noise_audio(1, 13 * 3072)
    codes = pretransform.tokenize(audio)
    padded = torch.nn.functional.pad(audio, (0, 3 * 3072))
    own = pretransform.decode_tokens(pretransform.tokenize(padded))[..., : 13 * 3072]
    ours = pretransform.decode_tokens(codes)
    torch.testing.assert_close(ours[..., : -4 * 3072], own[..., : -4 * 3072], atol=1e-3, rtol=0)
    assert float((ours - own).square().mean()) < 0.2 * float(own.square().mean())


def test_gradients_reach_audio_and_latents_when_asked_for(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    audio = noise_audio(1, 2 * codec.levels.frame_samples).requires_grad_()
    assert not pretransform.encode(audio).requires_grad
    pretransform.enable_grad = True
    latents = pretransform.encode(audio)
    with torch.no_grad():
        torch.testing.assert_close(latents, pretransform.encode(audio), atol=1e-3, rtol=1e-3)
    made = pretransform.decode(latents, seed=1)
    made.square().mean().backward()
    assert audio.grad is not None
    assert float(audio.grad.abs().max()) > 0
    with torch.no_grad():
        torch.testing.assert_close(made.detach(), pretransform.decode(latents.detach(), seed=1), atol=1e-4, rtol=1e-3)


def test_half_precision_leaves_codebooks_and_latents_in_float32(codec: Codec) -> None:
    audio = noise_audio(1, 4 * codec.levels.frame_samples)
    full = SnacPretransform(copy.deepcopy(codec)).encode(audio)
    half = SnacPretransform(codec, model_half=True)
    assert next(half.parameters()).dtype == torch.float16
    assert half.space.codebooks.dtype == torch.float32
    latents = half.encode(audio)
    assert latents.dtype == torch.float32
    assert (half.space.to_codes(latents) == half.space.to_codes(full)).float().mean() > 0.7
    decoded = half.decode(latents.half())
    assert decoded.dtype == torch.float32
    assert torch.isfinite(decoded).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("model_half", [False, True])
def test_converting_the_model_around_it_leaves_the_codec_alone(codec: Codec, dtype: torch.dtype, model_half: bool) -> None:
    """As `--precision bf16-true` converts a whole model; SNAC cannot run in bfloat16."""
    pretransform = SnacPretransform(codec, model_half=model_half)
    audio = noise_audio(1, 4 * codec.levels.frame_samples)
    codes = pretransform.tokenize(audio)
    decoded = pretransform.decode_tokens(codes)
    converted = torch.nn.Sequential(pretransform).to(dtype)[0]
    assert torch.equal(converted.tokenize(audio), codes)
    assert torch.equal(converted.decode_tokens(codes), decoded)
    assert converted.encode(audio.to(dtype)).dtype == torch.float32


def test_a_callers_autocast_does_not_change_codes_or_audio(codec: Codec) -> None:
    pretransform = SnacPretransform(codec)
    audio = noise_audio(1, 4 * codec.levels.frame_samples)
    codes = pretransform.tokenize(audio)
    decoded = pretransform.decode_tokens(codes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pretransform.tokenize(audio), codes)
        assert torch.equal(pretransform.decode_tokens(codes), decoded)


def test_its_state_is_snacs_and_nothing_else(codec: Codec) -> None:
    """What is derived from the codebooks must not be stored, or a checkpoint could contradict its codec."""
    state = SnacPretransform(codec).state_dict()
    assert {name.removeprefix("model.") for name in state} == set(codec.model.state_dict())


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(1, 2, 4000), r"2 channels.*audio\.mean\(dim=1, keepdim=True\)"),
        (torch.zeros(1, 4000), r"\[batch, 1, samples\].*reshape"),
        (torch.zeros(4000), r"\[batch, 1, samples\].*reshape"),
        (torch.zeros(1, 1, 1, 4000), r"\[batch, 1, samples\]"),
        (torch.zeros(1, 1, 4000, dtype=torch.int16), "int16.*32768"),
        (torch.zeros(1, 1, 0), "at least one sample"),
        (torch.full((1, 1, 4000), float("nan")), "NaN"),
        (torch.full((1, 1, 4000), float("inf")), "infinite"),
    ],
)
def test_audio_that_does_not_fit_says_how_to_convert_it(audio: torch.Tensor, message: str) -> None:
    pretransform = SnacPretransform(small_codec("32 kHz"))
    for call in (pretransform.encode, pretransform.tokenize):
        with pytest.raises(AudioError, match=message):
            call(audio)


def test_a_wrong_sample_rate_says_how_to_convert_it(codec_32khz: Codec) -> None:
    pretransform = SnacPretransform(codec_32khz)
    with pytest.raises(AudioError, match=r"44100 Hz.*32000 Hz.*resample\(audio, 44100, 32000\)"):
        pretransform.encode(noise_audio(1, 4000), sample_rate=44100)
    pretransform.encode(noise_audio(1, 4000), sample_rate=32000)


def test_what_cannot_be_decoded_is_named(codec_32khz: Codec) -> None:
    pretransform = SnacPretransform(codec_32khz)
    codes = torch.zeros(2, 15, 4, dtype=torch.long)
    with pytest.raises(Mismatch, match="length: found 12289, expected 1 to 12288 samples"):
        pretransform.decode_tokens(codes, length=12_289)
    with pytest.raises(Mismatch, match="length: found 0"):
        pretransform.decode_tokens(codes, length=0)
    with pytest.raises(Mismatch, match="at least one frame"):
        pretransform.decode_tokens(codes[..., :0])
    with pytest.raises(Mismatch, match="0 to 4095"):
        pretransform.decode_tokens(codes + 4096)
    with pytest.raises(Mismatch, match=r"\[batch, 15, frames\]"):
        pretransform.decode_tokens(codes[:, :7])
    with pytest.raises(Mismatch, match="integers"):
        pretransform.decode_tokens(codes.float())
    with pytest.raises(Mismatch, match=r"\[batch, 120, frames\]"):
        pretransform.decode(torch.zeros(1, 56, 4))
    with pytest.raises(Mismatch, match="3 seeds"):
        pretransform.decode_tokens(codes, seed=[1, 2, 3])


def test_a_misspelt_argument_is_not_swallowed(codec_32khz: Codec) -> None:
    pretransform, codes = SnacPretransform(codec_32khz), torch.zeros(1, 15, 4, dtype=torch.long)
    calls = pretransform.decode, pretransform.decode_tokens, pretransform.encode, pretransform.tokenize
    for call, given in zip(calls, (torch.zeros(1, 120, 4), codes, *[noise_audio(1, 4000)] * 2), strict=True):
        with pytest.raises(TypeError, match="lenght"):
            call(given, lenght=4)  # type: ignore[call-arg]
