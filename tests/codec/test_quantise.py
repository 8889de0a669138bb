"""Our way through SNAC's modules against SNAC's own forward."""

import torch
from snac.layers import NoiseBlock

from snac_plugin.codec.decoder_noise import decode_with_noise
from snac_plugin.codec.load import Codec
from snac_plugin.codec.quantise import quantise
from snac_plugin.codec_training.bottleneck import centring, commitment
from snac_plugin.codec_training.encoder_decoder import run_fused


def audio_for(codec: Codec) -> torch.Tensor:
    torch.manual_seed(1)
    return 0.1 * torch.randn(2, 1, 2 * codec.levels.grid_frames * codec.levels.frame_samples)


def test_training_forward_equals_snac_in_codes_and_audio(codec: Codec) -> None:
    audio = audio_for(codec)
    torch.manual_seed(5)
    expected, codes = codec.model(audio)
    torch.manual_seed(5)
    found = quantise(codec.model.quantizer, run_fused(codec.model.encoder.block, audio))
    made = run_fused(codec.model.decoder.model, found.z_q)
    assert all(torch.equal(a, b) for a, b in zip(codes, found.codes, strict=True))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)


def test_decoding_with_given_noise_equals_snac_drawing_the_same(codec: Codec) -> None:
    z_q = torch.randn(2, codec.model.latent_dim, 64)
    torch.manual_seed(5)
    expected = codec.model.decoder(z_q)
    torch.manual_seed(5)
    numbers = []

    def draw(number: int, x: torch.Tensor) -> torch.Tensor:
        numbers.append(number)
        return torch.randn(x.shape[0], 1, x.shape[2])

    assert torch.equal(decode_with_noise(codec.model.decoder, z_q, draw), expected)
    assert numbers == list(range(sum(isinstance(m, NoiseBlock) for m in codec.model.modules())))


def test_gradients_pass_the_codebooks_straight_through(codec: Codec) -> None:
    z = torch.randn(1, codec.model.latent_dim, 64, requires_grad=True)
    found = quantise(codec.model.quantizer, z)
    found.z_q.sum().backward()
    assert z.grad is not None
    assert float(z.grad.abs().sum()) > 0


def test_levels_that_are_dropped_are_not_heard(codec: Codec) -> None:
    z = torch.randn(2, codec.model.latent_dim, 64)
    kept = quantise(codec.model.quantizer, z, kept=torch.tensor([1, len(codec.levels)]))
    whole = quantise(codec.model.quantizer, z)
    first = codec.model.quantizer.quantizers[0]
    only = first.out_proj(first.decode_code(whole.codes[0])).repeat_interleave(first.stride, dim=-1)
    torch.testing.assert_close(kept.z_q[0], only[0], atol=1e-5, rtol=1e-4)
    assert torch.equal(kept.z_q[1], whole.z_q[1])


def test_warm_up_without_noise_passes_vectors_as_they_are(codec: Codec) -> None:
    found = quantise(codec.model.quantizer, torch.randn(1, codec.model.latent_dim, 64), noise=0.0)
    assert found.codes == []
    assert float(commitment(found)) == 0


def test_commitment_does_not_reward_small_vectors(codec: Codec) -> None:
    """A loss in absolute terms would shrink the encoder's vectors instead of moving them to the codes."""
    found = quantise(codec.model.quantizer, torch.randn(1, codec.model.latent_dim, 64))
    before = commitment(found)
    found.vectors, found.chosen = [v * 0.1 for v in found.vectors], [c * 0.1 for c in found.chosen]
    torch.testing.assert_close(commitment(found), before)


def test_centring_is_zero_only_without_a_mean(codec: Codec) -> None:
    found = quantise(codec.model.quantizer, torch.randn(1, codec.model.latent_dim, 64))
    found.vectors = [v - v.mean(-1, keepdim=True) for v in found.vectors]
    assert float(centring(found)) < 1e-9
    found.vectors = [v * 0 + 2 for v in found.vectors]
    torch.testing.assert_close(centring(found), torch.tensor(1.0))
