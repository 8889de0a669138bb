"""A recording continued: its own samples as they are, and no step at the border."""

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.generation.joining import Continuation, join
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    torch.manual_seed(0)
    codec = write_tiny_codec(tmp_path_factory.mktemp("codec"))
    return builders.model(tiny_model_config(codec, context_chunks=2)).eval()


def tone(seconds: float, rate: int, frequency: float = 220.0, channels: int = 1) -> torch.Tensor:
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    phases = torch.arange(channels, dtype=torch.float64)[:, None]
    return (0.5 * torch.cos(2 * torch.pi * frequency * time + phases)).float()  # ends loud, where an edge would be heard


def test_join_removes_the_step_and_fades_out() -> None:
    """The first new sample follows the recording's last; beyond the fade nothing changes."""
    whole = tone(0.3, 32000)[0]
    recorded, decoder = whole[:3200], whole + 0.3  # the decoder's version has an offset
    audio = decoder[3200:]
    joined = join(audio, recorded[-960:], decoder[2240:3200])
    largest = (whole[1:] - whole[:-1]).abs().max()
    assert abs(float(joined[0] - recorded[-1])) <= 1.01 * largest
    assert torch.equal(joined[960:], audio[960:])
    assert (joined[1:] - joined[:-1]).abs().max() < 2 * largest


@pytest.mark.parametrize("rate", [32000, 44100, 48000, 16000, 22050])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [1000, 20000])
def test_new_audio_comes_at_the_recordings_rate_without_a_gap(rate: int, channels: int, size: int) -> None:
    """A tone that goes on is still one tone after conversion, in pieces of any size: no gap, no echo, no step."""
    whole = tone(2.0, rate, channels=1).expand(channels, -1)
    recording = whole[:, :rate]
    model_side = tone(2.0, 32000)[0, 32000:]
    continuation = Continuation(recording, rate, 32000)
    pieces = [continuation.push(part) for part in model_side.split(size)]
    joined = torch.cat([recording, *pieces, continuation.finish()], dim=-1)
    assert joined.shape == whole.shape
    inner = slice(rate - 200, 2 * rate - 200)
    torch.testing.assert_close(joined[:, inner], whole[:, inner], rtol=0, atol=0.01)


def test_stereo_loses_its_width_without_a_click() -> None:
    recording = tone(1.0, 44100, channels=2)
    new = tone(2.0, 32000, channels=2).mean(dim=0)[32000:]
    continuation = Continuation(recording, 44100, 32000)
    joined = torch.cat([recording, continuation.push(new), continuation.finish()], dim=-1)
    step = (joined[:, 1:] - joined[:, :-1]).abs()
    assert (step[:, 44000:46000].amax(dim=-1) < 2.5 * step[:, :44000].amax(dim=-1)).all()


def test_only_what_follows_is_generated_and_it_begins_where_the_recording_ends(model: SnacDiffusion) -> None:
    """The context is never heard twice, the length is right to the sample, and the border is no step."""
    audio = tone(1.5, 32000)[0]
    new = model.generate(context=audio, seconds=0.7, steps=4, seed=0, progress=False)
    assert new.shape == (1, 1, 22400)
    inside = (new[0, 0, 1:] - new[0, 0, :-1]).abs().max()
    assert abs(float(new[0, 0, 0] - audio[-1])) <= float(inside)


def test_streaming_gives_what_generating_gives(model: SnacDiffusion) -> None:
    """Chunks that are written as they come must not differ from the whole."""
    options = {"context": tone(1.0, 32000)[0], "chunks": 4, "steps": 4, "seed": 3, "progress": False}
    pieces = [piece.audio for piece in model.stream(**options)]
    assert len(pieces) == 4
    torch.testing.assert_close(torch.cat(pieces, dim=-1), model.generate(**options), rtol=0, atol=0)


def test_several_continuations_differ(model: SnacDiffusion) -> None:
    new = model.generate(context=tone(1.0, 32000)[0], batch_size=2, steps=4, seed=0, progress=False)
    assert not torch.allclose(new[0], new[1])
