"""New mono audio as wide as the recording: levels and coherence of its channels by octave, measured by scipy."""

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
from test_snac_diffusion import make_whole
from torch import Tensor

from snac_plugin.generation.joining import Continuation
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.width import Widening, widened

RATE = 44100


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.05


def stereo(seconds: float) -> Tensor:
    """Low tones in the middle, what lies above to the left, and room on both sides, the more the higher."""
    low, high = (scipy.signal.butter(2, 600, kind, fs=RATE, output="sos") for kind in ("lowpass", "highpass"))
    bass, lead = scipy.signal.sosfilt(low, noise(seconds, 0)), scipy.signal.sosfilt(high, noise(seconds, 1))
    room = [scipy.signal.sosfilt(high, noise(seconds, seed)) for seed in (2, 3)]
    return torch.from_numpy(np.stack([bass + 0.9 * lead + 0.4 * room[0], bass + 0.5 * lead + 0.4 * room[1]])).float()


def by_octave(audio: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Left above right in dB, and the coherence of the two, of seven octaves from 100 Hz."""
    left, right = audio.double().numpy()
    frequencies, both = scipy.signal.csd(left, right, RATE, nperseg=4096)
    powers = [scipy.signal.welch(one, RATE, nperseg=4096)[1] for one in (left, right)]
    bands = [(frequencies >= 100 * 2**k) & (frequencies < 200 * 2**k) for k in range(7)]
    sums = [[power[band].sum() for power in (*powers, both.real)] for band in bands]
    return np.array([10 * np.log10(a / b) for a, b, _ in sums]), np.array([c / (a * b) ** 0.5 for a, b, c in sums])


def test_levels_and_coherence_by_octave_are_the_recording_s() -> None:
    recording, new = stereo(6), stereo(5).mean(dim=0).flip(0)
    levels, coherence = by_octave(recording)
    assert coherence.max() > 0.95
    assert coherence.min() < 0.8
    assert levels.max() - levels.min() > 2
    made_levels, made_coherence = by_octave(widened(new, recording, RATE))
    assert abs(made_levels - levels).max() < 1
    assert abs(made_coherence - coherence).max() < 0.1
    assert by_octave(new.expand(2, -1))[1].min() > 0.999


def test_a_recording_shorter_than_a_window_gives_its_width_too() -> None:
    recording = stereo(0.05)
    wide = widened(stereo(2).mean(dim=0), recording, RATE)
    assert wide.isfinite().all()
    assert (wide[0] - wide[1]).abs().max() > 0.001


def test_the_mean_of_the_channels_is_the_mono_audio() -> None:
    recording, new = stereo(6), stereo(5).mean(dim=0)
    torch.testing.assert_close(widened(new, recording, RATE).mean(dim=0), new, rtol=0, atol=1e-6)


def test_a_mono_recording_in_two_channels_stays_mono_and_silence_silent() -> None:
    mono = stereo(4).mean(dim=0)
    torch.testing.assert_close(widened(mono, mono.expand(2, -1), RATE), mono.expand(2, -1), rtol=0, atol=1e-6)
    assert widened(mono, torch.zeros(2, 4 * RATE), RATE).isfinite().all()
    out_of_phase = torch.stack([mono, -mono])
    assert widened(mono, out_of_phase, RATE).abs().max() < 3 * mono.abs().max()


@pytest.mark.parametrize("sizes", [[1, 999, 40000], [30000, 11000]])
def test_pieces_give_the_whole(sizes: list[int]) -> None:
    recording, new = stereo(6), stereo(1).mean(dim=0)[:41000]
    widening = Widening(recording, RATE, 100)
    made = torch.cat([*(widening.push(part) for part in new.split(sizes)), widening.push(new[:0], last=True)], dim=-1)
    whole = widened(torch.cat([recording.mean(dim=0), new]), recording, RATE)[:, -41100:]
    torch.testing.assert_close(made, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_rate", [32000, RATE])
def test_a_continuation_is_as_wide_as_the_recording_s_end_and_joins_it(model_rate: int) -> None:
    """Its mean is what it is without width, and there is no step at the join."""
    recording, new = stereo(6), torch.from_numpy(noise(5, 9)).float()[: 4 * model_rate]
    made = []
    for keep_width in (True, False):
        continuation = Continuation(recording, RATE, model_rate, keep_width)
        made.append(torch.cat([*(continuation.push(part) for part in new.split(20000)), continuation.finish()], dim=-1))
    wide, mono = made
    assert wide.shape == mono.shape == (2, 4 * RATE)
    torch.testing.assert_close(wide.mean(dim=0), mono.mean(dim=0), rtol=0, atol=1e-6)
    levels, coherence = by_octave(recording)
    made_levels, made_coherence = by_octave(wide)
    assert abs(made_levels - levels).max() < 1
    assert abs(made_coherence - coherence).max() < 0.1
    joined = torch.cat([recording, wide], dim=-1)
    step = joined.diff(dim=-1).abs()
    assert (step[:, 6 * RATE - 1] <= step[:, 5 * RATE :].amax(dim=-1)).all()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    return make_whole(tmp_path_factory.mktemp("codec"), head="logits", context_chunks=1)


OPTIONS: dict[str, Any] = {"progress": False, "seed": 1, "steps": 4}
WAYS: dict[str, dict[str, Any]] = {
    "context": {"seconds": 4},
    "edit": {"repaint": [(2.5, 5.5)], "put_back": True},
    "variation": {"keep_levels": "A"},
    "before": {"seconds": 3, "put_back": True},
    "loop": {"loop": True, "put_back": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_python_gets_back_is_as_wide_on_request(model: SnacDiffusion, way: str) -> None:
    """And mono without: what the channels have in common is the same."""
    recording = stereo(8)
    name = "edit" if way in ("variation", "loop") else way
    given: dict[str, Any] = {name: (RATE, recording), **WAYS[way], **OPTIONS}
    wide, mono = model.generate(**given, width="keep")[0], model.generate(**given)[0]
    assert (wide.shape[0], mono.shape[0]) == (2, 1)
    torch.testing.assert_close(wide.mean(dim=0), mono[0], rtol=0, atol=1e-5)
    part = {"context": slice(0, None), "edit": slice(80000, 176000), "before": slice(0, 96000)}.get(way, slice(0, None))
    assert (wide[0, part] - wide[1, part]).norm() > 0.1 * wide[0, part].norm()
    pieces = torch.cat([chunk.audio for chunk in model.stream(**given, width="keep")], dim=-1)
    assert torch.equal(pieces[0], wide)


def test_a_wide_loop_repeats_without_a_click(model: SnacDiffusion) -> None:
    made = model.generate(edit=(32000, stereo(3)[:, :70001]), width="keep", **WAYS["loop"], **OPTIONS)[0]
    twice = torch.cat([made, made], dim=-1)
    steps = twice.diff(dim=-1).abs()[:, 69000:71000]
    assert (steps[:, 1000] <= steps.amax(dim=-1)).all()
    assert float(steps[:, 1000].max()) < 0.5 * float(twice.abs().max())


def test_mono_recordings_have_no_width_to_keep(model: SnacDiffusion) -> None:
    mono = stereo(3).mean(dim=0)
    for given in ({"context": (RATE, mono)}, {"edit": (RATE, mono), "keep_levels": "AB"}):
        assert torch.equal(model.generate(**given, **OPTIONS, width="keep"), model.generate(**given, **OPTIONS))
