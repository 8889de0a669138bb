"""A picture of a sample: spectrogram and codes. Letters: N audio samples, R rows, T frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from snac_plugin.files import write_whole
from snac_plugin.levels import Levels
from snac_plugin.spectra.mel import PICTURE_BANDS, mel, mel_spectrogram, picture_band_centres

RANGE_DB = 80.0
QUIETEST_PEAK_DB = -60.0
FREQUENCIES = (100, 250, 500, 1000, 2000, 5000, 10000, 20000)

INK, FAINT, PAPER, NEW = "#1f2430", "#8a8f9c", "#ffffff", "#5dd6c0"
SPECTRUM = LinearSegmentedColormap.from_list(
    "spectrum", ["#0b1021", "#1d2a5b", "#4b3b96", "#a23f93", "#e8615d", "#fdae61", "#fff3c4"]
)
LEVEL_COLOURS = ("#d1495b", "#e08e2b", "#2a9d8f", "#3667b5", "#7b4fa3", "#5c6b7a", "#a3703c", "#4c8c3f")


def sample_picture(
    audio: Tensor,
    sample_rate: int,
    codes: Tensor | None = None,
    levels: Levels | None = None,
    title: str = "",
    new: Sequence[tuple[float, float]] = (),
    begin: float = 0.0,
) -> Figure:
    """Draw mono audio, [1, N] or [N], and its packed codes [R, T], if given; those past the end of the audio are cut off.

    The axis counts from the beginning of the file, whose part from second `begin` on this is; codes are drawn from 0 on.
    Above the spectrogram a bar marks what is `new` beside a recording, (start, end) in seconds, and lines its joins.
    """
    assert codes is None or levels is not None, "codes are drawn by the geometry of their codec"
    audio = audio.detach().float().cpu().reshape(-1)
    strips = 0 if codes is None or levels is None else len(levels)
    figure, axes = _layout(strips)
    seconds = begin + max(len(audio), 1) / sample_rate
    draw_spectrogram(figure, axes[0], audio, sample_rate, (begin, seconds))
    axes[0].set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=9, parse_math=False)
    for start, end in new:
        axes[0].axvspan(start, end, 0.98, 1, color=NEW, linewidth=0)
        for join in (join for join in (start, end) if begin < join < seconds):
            axes[0].axvline(join, color=NEW, linewidth=1.2, linestyle=(0, (4, 3)))
    for axis in axes:
        axis.set_xlim(begin, seconds)
        axis.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
        axis.tick_params(labelbottom=axis is axes[-1], bottom=axis is axes[-1], labelsize=9, labelcolor=INK, color=FAINT)
        for spine in axis.spines.values():
            spine.set_visible(False)
    axes[-1].set_xlabel("time (s)", fontsize=10, color=INK)
    if codes is not None and levels is not None:
        _draw_codes(axes[1:], codes, levels, seconds)
    return figure


def save_picture(path: str | Path, *sample: Any) -> Path:
    """Draw a sample (arguments as of `sample_picture`) into a PNG file."""
    figure = sample_picture(*sample)
    # Without a note of the software that drew it: the same sample gives the same file.
    return write_whole(path, lambda part: figure.savefig(part, format="png", metadata={"Software": None}))


def _layout(strips: int) -> tuple[Figure, list[Axes]]:
    """An empty figure; the axes of the spectrogram, then of each strip. All measures in inches."""
    top, spectrogram, space, strip, gap, bottom = 0.42, 3.2, 0.14, 0.42, 0.06, 0.55
    height = top + spectrogram + bottom + (space + strips * strip + (strips - 1) * gap if strips else 0)
    figure = Figure(figsize=(12.0, height), dpi=100, facecolor=PAPER)
    left, width = 0.08, 0.838
    edges = [top + spectrogram, *(top + spectrogram + space + i * (strip + gap) + strip for i in range(strips))]
    heights = [spectrogram, *[strip] * strips]
    boxes = [(left, 1 - edge / height, width, tall / height) for edge, tall in zip(edges, heights, strict=True)]
    return figure, [figure.add_axes(box) for box in boxes]


def draw_spectrogram(figure: Figure, axis: Axes, audio: Tensor, sample_rate: int, span: tuple[float, float]) -> None:
    """Mono audio [N] between two seconds of the axis."""
    decibels = mel_spectrogram(audio, sample_rate)
    top, extent = max(float(decibels.max()), QUIETEST_PEAK_DB), (*span, 0, PICTURE_BANDS)
    image = axis.imshow(decibels.numpy(), SPECTRUM, aspect="auto", interpolation="bilinear", origin="lower", extent=extent)
    image.set_clim(top - RANGE_DB, top)
    shown = [f for f in FREQUENCIES if f <= 0.97 * sample_rate / 2]
    places = np.interp([mel(f) for f in shown], [mel(f) for f in picture_band_centres(sample_rate)], np.arange(PICTURE_BANDS) + 0.5)
    axis.set_yticks(places, [f"{f // 1000} kHz" if f >= 1000 else f"{f} Hz" for f in shown])
    bar = figure.colorbar(image, cax=axis.inset_axes((1.012, 0, 0.012, 1)))
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} dB".replace("-", "\N{MINUS SIGN}")))
    bar.ax.tick_params(labelsize=9, labelcolor=INK, color=FAINT)


def _draw_codes(axes: list[Axes], codes: Tensor, levels: Levels, seconds: float) -> None:
    """One strip a level, each code as wide as it lasts, its value as lightness."""
    frames = codes.shape[-1]
    end = frames * levels.frame_samples / levels.sample_rate
    strips = levels.unpack(codes.detach().cpu()[None])
    for level, (axis, strip) in enumerate(zip(axes, strips, strict=True)):
        colours, extent = _level_colours(level), (0, end, 0, 1)
        image = axis.imshow(strip.numpy(), colours, aspect="auto", interpolation="nearest", extent=extent)
        image.set_clim(0, levels.codebook_size - 1)
        lasts = levels.strides[level] * levels.hop / levels.sample_rate
        if seconds / lasts <= 140:  # wider codes get a thin border, so that neighbours of like value stay apart
            axis.vlines(np.arange(1, strip.shape[-1]) * lasts, 0, 1, colors=PAPER, linewidth=0.6)
        axis.set_yticks([0.5], [levels.names[level]], fontweight="bold")
        axis.tick_params(left=False, pad=8)
        axis.get_yticklabels()[0].set(color=LEVEL_COLOURS[level % len(LEVEL_COLOURS)], fontsize=13)
        axis.text(1.012, 0.5, f"{lasts * 1000:.0f} ms", transform=axis.transAxes, va="center", fontsize=9, color=FAINT)


def _level_colours(level: int) -> LinearSegmentedColormap:
    """From dark over the level's own colour to almost white."""
    colour = np.array(to_rgb(LEVEL_COLOURS[level % len(LEVEL_COLOURS)]))
    steps = [colour * 0.25, colour * 0.7, colour, colour * 0.45 + 0.55, colour * 0.08 + 0.92]
    return LinearSegmentedColormap.from_list(f"level {level}", [tuple(step) for step in steps])
