"""The waveform of a recording that was put in, on which a region can be marked, or what is wrong with it."""

import html
from pathlib import Path
from typing import Any

import torch

from snac_plugin.data.audio_file import read_header
from snac_plugin.errors import SnacPluginError, UsageError
from snac_plugin.levels import Levels
from snac_plugin.output.recordings import Recording

BARS = 240
MOST_MINUTES = 60
"""Longer recordings are refused on the page; the command takes any."""


def waveform(path: str, levels: Levels) -> str:
    """A drawing of a recording, as wide as it lasts; page.js marks a region on it. Raises as `check_length`."""
    check_length(path)
    recording = Recording.read(path, levels)
    size, blocks = max(1, recording.samples // (8 * BARS)), recording.own().blocks("float32")
    loudest = [part.abs().max() for block in blocks for part in torch.from_numpy(block).split(size)]
    peaks = torch.nn.functional.adaptive_max_pool1d(torch.stack(loudest)[None], BARS)[0]
    heights = (peaks / peaks.max().clamp(min=1e-6) * 46).clamp(min=0.5)
    bars = "".join(f"M{i + 0.5} {50 - h:.1f}V{50 + h:.1f}" for i, h in enumerate(heights.tolist()))
    seconds = recording.samples / recording.rate
    drawing = f'<svg viewBox="0 0 {BARS} 100" preserveAspectRatio="none"><path d="{bars}"/></svg>'
    return f'<div class="snac-wave" data-seconds="{seconds:.6f}">{drawing}<i></i></div><small>0 to {seconds:.2f} s</small>'


def check_length(path: str | Path) -> None:
    """UsageError for a recording that is too long for the page, AudioError for one that cannot be read."""
    seconds, _ = read_header(path)
    if seconds > 60 * MOST_MINUTES:
        found, expected = f"{seconds / 60:.0f} minutes", f"at most {MOST_MINUTES} minutes on the page"
        raise UsageError(Path(path).name, found, expected, "generate.py takes any length.")


def short(error: SnacPluginError, *files: Any) -> str:
    """What an error says, with the names of files in place of their paths."""
    text = str(error)
    for file in files:
        if isinstance(file, str | Path):
            text = text.replace(str(file), Path(file).name)
    return text


def said(text: str) -> str:
    """A mistake, shown where the waveform would be."""
    return f'<p class="snac-wrong" role="alert">{html.escape(text)}</p>'
