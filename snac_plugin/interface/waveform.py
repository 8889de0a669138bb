"""What a recording is that was put in, and its waveform, on which a region can be marked."""

import html

import torch

from snac_plugin.interface.limits import check_length
from snac_plugin.levels import Levels
from snac_plugin.output.recordings import Recording

BARS = 240


def waveform(path: str, levels: Levels, marked: bool = True) -> str:
    """Name and form of a recording, and, if a region is to be `marked` on it, a drawing as wide as it lasts; page.js marks it.

    Raises as `check_length`.
    """
    check_length(path)
    recording = Recording.read(path, levels)
    size, blocks = max(1, recording.samples // (8 * BARS)), recording.own().blocks("float32")
    loudest = [part.abs().max() for block in blocks for part in torch.from_numpy(block).split(size)]
    peaks = torch.nn.functional.adaptive_max_pool1d(torch.stack(loudest)[None], BARS)[0]
    heights = (peaks / peaks.max().clamp(min=1e-6) * 46).clamp(min=0.5)
    bars = "".join(f"M{i + 0.5} {50 - h:.1f}V{50 + h:.1f}" for i, h in enumerate(heights.tolist()))
    seconds = recording.samples / recording.rate
    drawing = f'<svg viewBox="0 0 {BARS} 100" preserveAspectRatio="none"><path d="{bars}"/></svg>'
    channels = {1: "mono", 2: "stereo"}.get(recording.header.channels, f"{recording.header.channels} channels")
    name = f"<b>{html.escape(recording.path.name)}</b> · {seconds:.2f} s · {recording.rate / 1000:g} kHz · {channels}"
    wave = f'<div class="snac-wave" data-seconds="{seconds:.6f}">{drawing}<i></i></div>' if marked else ""
    return f'<p class="snac-file">{name}</p>{wave}'


def proposed_part(seconds: float, first: float | None = None, last: float | None = None) -> tuple[float, float]:
    """Seconds of a recording to repaint: those that are marked, or, where these do not lie in it, its middle third."""
    if first is not None and last is not None and 0 <= first < last <= seconds + 0.01:
        return first, last
    return round(seconds / 3, 2), round(2 * seconds / 3, 2)
