"""Audio decoded as codes arrive against audio decoded at once."""

from pathlib import Path

import pytest
import torch
from tiny import write_tiny_codec

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec.streaming import StreamDecoder


@pytest.mark.parametrize("sizes", [(4, 4, 4), (64, 64), (12, 7), (1, 3, 2, 30), (5,)])
def test_a_stream_equals_the_whole_file(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """A seam between chunks, or noise that restarts at each, would show as a difference."""
    codec = SnacPretransform(load_codec(str(write_tiny_codec(tmp_path / "codec"))))
    codes = torch.randint(4096, (2, 15, sum(sizes)), generator=torch.Generator().manual_seed(0))
    stream = StreamDecoder(codec, [5, 9])
    pieces = [stream.push(part) for part in codes.split(sizes, dim=-1)]
    assert stream.buffer is not None
    assert stream.buffer.shape[-1] <= 2 * codec.margin + max(sizes) + codec.levels.grid_frames
    streamed = torch.cat([*pieces, stream.finish()], dim=-1)
    torch.testing.assert_close(streamed, codec.decode_tokens(codes, seed=[5, 9]), rtol=0, atol=2e-6)
