"""A picture of a sample: spectrogram and codes. Letters: N audio samples, R rows, T frames.

It is read on a phone too, 360 pixels wide: letters are large for its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
FREQUENCIES = (100, 500, 1000, 2000, 5000, 10000, 20000)

INK, FAINT, PAPER, NEW = "#1f2430", "#8a8f9c", "#ffffff", "#5dd6c0"
SPECTRUM = LinearSegmentedColormap.from_list(
    "spectrum", ["#0b1021", "#1d2a5b", "#4b3b96", "#a23f93", "#e8615d", "#fdae61", "#fff3c4"]
)
KEPT = "#7b8190"
LETTERS, LARGE, LONGEST_TITLE = 11.5, 15, 62  # points, points, characters
DPI = 160  # pixels per inch
LEVEL_COLOURS = ("#d1495b", "#e08e2b", "#2a9d8f", "#3667b5", "#7b4fa3", "#5c6b7a", "#a3703c", "#4c8c3f")


@dataclass(frozen=True)
class DrawnCodes:
    """Packed codes [R, T], where they lie, and which of them were there before."""

    packed: Tensor
    begins: tuple[float, ...] = (0.0,)  # seconds of the file; twice where the end of a loop goes on at its beginning
    kept: Tensor | None = None  # [levels, T] bool, True where a frame's codes of a level were not generated


def sample_picture(
    audio: Tensor,
    sample_rate: int,
    codes: Tensor | DrawnCodes | None = None,
    levels: Levels | None = None,
    title: str = "",
    new: Sequence[tuple[float, float]] = (),
    begin: float = 0.0,
) -> Figure:
    """Draw mono audio, [1, N] or [N], and its packed codes, if given; those past the end of the audio are cut off.

    The axis counts from the beginning of the file, whose part from second `begin` on this is. Above the spectrogram a bar marks
    what is `new` beside a recording, (start, end) in seconds, and lines its joins. Codes that were kept are grey.
    """
    assert codes is None or levels is not None, "codes are drawn by the geometry of their codec"
    audio = audio.detach().float().cpu().reshape(-1)
    drawn = DrawnCodes(codes) if isinstance(codes, Tensor) else codes
    figure, axes = _layout(0 if drawn is None or levels is None else len(levels))
    seconds = begin + max(len(audio), 1) / sample_rate
    draw_spectrogram(figure, axes[0], audio, sample_rate, (begin, seconds))
    title = title if len(title) <= LONGEST_TITLE else f"{title[:20]}…{title[21 - LONGEST_TITLE :]}"
    axes[0].set_title(title, loc="left", fontsize=LETTERS, fontweight="bold", color=INK, pad=7, parse_math=False)
    for start, end in new:
        axes[0].axvspan(start, end, 0.98, 1, color=NEW, linewidth=0)
        for join in (join for join in (start, end) if begin < join < seconds):
            axes[0].axvline(join, color=NEW, linewidth=1.2, linestyle=(0, (4, 3)))
    for axis in axes:
        axis.set_xlim(begin, seconds)
        axis.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        axis.tick_params(labelbottom=axis is axes[-1], bottom=axis is axes[-1], labelsize=LETTERS, labelcolor=INK, color=FAINT)
        for spine in axis.spines.values():
            spine.set_visible(False)
    some_kept = drawn is not None and drawn.kept is not None and bool(drawn.kept.any())
    axes[-1].set_xlabel("time (s)" + (" · grey codes were kept" if some_kept else ""), fontsize=LETTERS, color=INK)
    if drawn is not None and levels is not None:
        _draw_codes(axes[1:], drawn, levels, seconds - begin)
    return figure


def save_picture(path: str | Path, *sample: Any) -> Path:
    """Draw a sample (arguments as of `sample_picture`) into a PNG file."""
    figure = sample_picture(*sample)
    # Without a note of the software that drew it: the same sample gives the same file.
    return write_whole(path, lambda part: figure.savefig(part, format="png", metadata={"Software": None}))


def _layout(strips: int) -> tuple[Figure, list[Axes]]:
    """An empty figure; the axes of the spectrogram, then of each strip. All measures in inches."""
    top, spectrogram, space, strip, gap, bottom = 0.36, 2.3, 0.12, 0.4, 0.06, 0.58
    height = top + spectrogram + bottom + (space + strips * strip + (strips - 1) * gap if strips else 0)
    figure = Figure(figsize=(7.5, height), dpi=DPI, facecolor=PAPER)
    left, width = 0.105, 0.775
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
    bar.ax.tick_params(labelsize=LETTERS - 1.5, labelcolor=INK, color=FAINT)


def _draw_codes(axes: list[Axes], codes: DrawnCodes, levels: Levels, seconds: float) -> None:
    """One strip a level, each code as wide as it lasts, its value as lightness; `seconds` are in sight."""
    lightness = levels.unpack(codes.packed.detach().cpu()[None])
    lasts = codes.packed.shape[-1] * levels.frame_samples / levels.sample_rate
    for level, (axis, strip) in enumerate(zip(axes, lightness, strict=True)):
        values = strip.numpy() / (levels.codebook_size - 1)
        colours = _lightness_of(LEVEL_COLOURS[level % len(LEVEL_COLOURS)])(values)
        if codes.kept is not None:
            kept = codes.kept[level].repeat_interleave(levels.per_frame[level]).numpy()
            colours = np.where(kept[None, :, None], _lightness_of(KEPT)(values), colours)
        code = levels.strides[level] * levels.hop / levels.sample_rate
        for begin in codes.begins:
            axis.imshow(colours, aspect="auto", interpolation="nearest", extent=(begin, begin + lasts, 0, 1))
            if seconds / code <= 140:  # wider codes get a thin border, so that neighbours of like value stay apart
                axis.vlines(begin + np.arange(1, strip.shape[-1]) * code, 0, 1, colors=PAPER, linewidth=0.6)
        axis.set_yticks([0.5], [levels.names[level]], fontweight="bold")
        axis.tick_params(left=False, pad=8)
        axis.get_yticklabels()[0].set(color=LEVEL_COLOURS[level % len(LEVEL_COLOURS)], fontsize=LARGE)
        axis.text(1.012, 0.5, f"{code * 1000:.0f} ms", transform=axis.transAxes, va="center", fontsize=LETTERS, color=FAINT)


def _lightness_of(name: str) -> LinearSegmentedColormap:
    """From dark over a colour to almost white."""
    colour = np.array(to_rgb(name))
    steps = [colour * 0.25, colour * 0.7, colour, colour * 0.45 + 0.55, colour * 0.08 + 0.92]
    return LinearSegmentedColormap.from_list(name, [tuple(step) for step in steps])
