"""The picture of an evaluation: three panels of figures with their intervals, and below them two spectrograms."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snac_plugin.evaluation.confidence_intervals import Estimate
from snac_plugin.output.pictures import FAINT, INK, PAPER, draw_spectrogram

GREY, ACCENT = "#5c6b7a", "#3667b5"
PANELS = ((0.12, 0.29), (0.43, 0.61), (0.77, 0.985))  # left and right end of each, in parts of the picture's width


def report_picture(
    title: str, panels: Mapping[str, Callable[[Axes], None]], audio: Mapping[str, np.ndarray], rate: int, join: float = 0.0
) -> Figure:
    """Three panels by title, and under them the spectrograms of two clips [N] by title.

    At `join` seconds, where a recording ends and its continuation begins, is a line; 0 is none.
    """
    figure = Figure(figsize=(15.0, 8.6), dpi=100, facecolor=PAPER)
    figure.text(0.015, 0.972, title, fontsize=14, fontweight="bold", color=INK, va="center", parse_math=False)
    for (left, right), (heading, draw) in zip(PANELS, panels.items(), strict=True):
        axis = figure.add_axes((left, 0.52, right - left, 0.37))
        draw(axis)
        _heading(axis, heading)
    lower = figure.add_gridspec(1, 2, left=0.05, right=0.935, top=0.42, bottom=0.07, wspace=0.26)
    for place, (heading, clip) in enumerate(audio.items()):
        axis = figure.add_subplot(lower[0, place])
        draw_spectrogram(figure, axis, torch.from_numpy(np.ascontiguousarray(clip)).float(), rate, (0, len(clip) / rate))
        _heading(axis, heading)
        axis.set_xlabel("time (s)", fontsize=10, color=INK)
        axis.tick_params(labelsize=9, labelcolor=INK, color=FAINT)
        axis.spines[:].set_visible(False)
        if join:
            axis.axvline(join, color=PAPER, linewidth=1.5, linestyle="--")
    return figure


def draw_bars(axis: Axes, estimates: Mapping[str, Estimate], colours: Sequence[str], digits: int = 2) -> None:
    """A bar with its interval for each name, the first on top, its value behind it."""
    places, (values, ends) = np.arange(len(estimates))[::-1], _values_and_ends(estimates.values())
    axis.barh(places, values, color=list(colours), height=0.62, alpha=0.85)
    axis.errorbar(values, places, xerr=np.abs(ends - values), fmt="none", ecolor=INK, elinewidth=1.3, capsize=3)
    names = [name.replace(" (", "\n(") if " (" in name else name.replace(", ", ",\n") for name in estimates]
    axis.set_yticks(places, names, fontsize=9, color=INK)
    behind: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5, "color": INK}
    for place, value, high in zip(places, values, ends[1], strict=True):
        axis.annotate(f"{value:,.{digits}f}", (max(high, value), place), **behind)
    axis.margins(x=0.16)
    tidy(axis)


def draw_dots(axis: Axes, series: Mapping[str, Mapping[str, Estimate]], missing: str) -> None:
    """A row for each name, with a dot and its interval for each of two series of equal names; without names `missing`."""
    names = list(next(iter(series.values())))
    if not names:
        draw_note(axis, missing)
        return
    places = np.arange(len(names))[::-1]
    for (label, estimates), colour in zip(series.items(), (GREY, ACCENT), strict=True):
        values, ends = _values_and_ends(estimates.values())
        apart = np.abs(ends - values)
        axis.errorbar(values, places, xerr=apart, fmt="o", color=colour, elinewidth=1.3, capsize=3, markersize=5, label=label)
    axis.set_yticks(places, names, fontsize=8, color=INK)
    axis.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(-0.02, 1.005), ncols=1, borderpad=0)
    axis.set_ylim(-0.6, len(places) + 0.7)
    tidy(axis, grid="x")


def draw_note(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=10, color=FAINT)
    axis.set_axis_off()


def draw_legend(axis: Axes, xlabel: str) -> None:
    axis.set_xlabel(xlabel, fontsize=9, color=INK)
    axis.legend(frameon=False, fontsize=8.5, loc="upper right")
    axis.margins(x=0.01, y=0.3)
    tidy(axis, grid="y")
    axis.tick_params(axis="y", labelsize=9, labelcolor=INK, color=FAINT)


def tidy(axis: Axes, grid: Literal["", "x", "y"] = "") -> None:
    """Without a box; small ticks; grid lines along the axis named."""
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=9, labelcolor=INK, color=FAINT)
    if grid:
        axis.grid(axis=grid, color="#e4e6ea", linewidth=0.8)
        axis.set_axisbelow(True)


def _heading(axis: Axes, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=11, fontweight="bold", color=INK, pad=8, parse_math=False)


def _values_and_ends(estimates: Iterable[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values [n], and the ends of their intervals [2, n]; where there is no interval, the value itself."""
    found = np.array([[e.value, e.low, e.high] for e in estimates]).T
    return found[0], np.where(np.isfinite(found[1:]), found[1:], found[0])
