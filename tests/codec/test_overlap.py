"""How long files are cut."""

import pytest
import torch

from snac_plugin.codec.load import Codec
from snac_plugin.codec.overlap import margin_frames, run_in_pieces


@pytest.mark.parametrize(("frames", "keep", "margin"), [(64, 16, 8), (68, 16, 8), (4, 16, 8), (40, 4, 8)])
def test_tiles_cover_every_frame_once_on_the_grid(frames: int, keep: int, margin: int) -> None:
    seen, x = [], torch.arange(frames)

    def run(part: torch.Tensor, first: int) -> torch.Tensor:
        assert torch.equal(part, x[first : first + len(part)])
        seen.append((first, first + len(part)))
        return part

    assert torch.equal(run_in_pieces(x, run, keep, margin), x)
    for start, (first, last) in zip(range(0, frames, keep), seen, strict=True):
        assert first % 4 == 0
        assert start - first == min(margin, start)
        assert last == min(frames, start + keep + margin)


def test_the_margin_covers_what_gradients_say_a_frame_depends_on(codec: Codec) -> None:
    """The slow reference: which audio samples move the encoder's outputs in one frame, and which codes move its audio."""
    levels = codec.levels
    margin, frame = margin_frames(codec.model, levels), levels.frame_samples
    middle = 6 * levels.grid_frames if levels.grid_frames > 1 else 12
    audio = (0.1 * torch.randn(1, 1, 2 * middle * frame)).requires_grad_()
    z = codec.model.encoder(audio)
    z[..., middle * levels.strides[0] : (middle + 1) * levels.strides[0]].square().sum().backward()
    assert audio.grad is not None
    touched = audio.grad[0, 0].nonzero().flatten()
    assert middle * frame - touched.min() <= margin * frame
    assert touched.max() - (middle + 1) * frame < margin * frame
    z_q = torch.randn(1, codec.model.latent_dim, 2 * middle * levels.strides[0], requires_grad=True)
    codec.model.decoder(z_q)[..., middle * frame : (middle + 1) * frame].square().sum().backward()
    assert z_q.grad is not None
    touched = z_q.grad[0].abs().sum(0).nonzero().flatten() // levels.strides[0]
    assert middle - touched.min() <= margin
    assert touched.max() - middle <= margin
