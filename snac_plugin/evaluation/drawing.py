"""The pictures of evaluations: figures with their intervals, and what they were measured on as spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snac_plugin.evaluation.bootstrap import Estimate
from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.material import FREE, GENERATED, REAL, Material
from snac_plugin.evaluation.report import Report, Table, estimates
from snac_plugin.levels import Levels
from snac_plugin.output.pictures import FAINT, INK, LEVEL_COLOURS, PAPER, draw_spectrogram

GREY, ACCENT = "#5c6b7a", "#3667b5"


def model_picture(report: Report, material: Material, clips: Clips, levels: Levels) -> Figure:
    """Losses, distances and agreement above, a recording and its continuation below."""
    figure, top, bottom = sheet(report.title, ((0.05, 0.27), (0.41, 0.63), (0.79, 0.985)))
    _draw_losses(top[0], report.table("losses"), levels)
    draw_distances(top[1], report.table("frechet"), (GENERATED, FREE))
    _draw_agreement(top[2], report.table("agreement"))
    made = GENERATED if GENERATED in material.kinds else FREE
    join = material.contexts.shape[-1] / clips.rate
    heard = [np.concatenate([material.contexts[0].numpy(), material.kinds[name][0].numpy()]) for name in (REAL, made)]
    if made == FREE:
        heard, join = [material.kinds[name][0].numpy() for name in (REAL, FREE)], 0.0
    draw_pair(
        figure,
        bottom,
        heard,
        clips.rate,
        (f"recording: {clips.files[0].name}", "the same, continued by the model" if join else made),
        join,
    )
    return figure


def sheet(title: str, panels: Sequence[tuple[float, float]]) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure with a row of panels and two spectrograms under it; panels from left to right in parts of the width."""
    figure = Figure(figsize=(15.0, 8.6), dpi=100, facecolor=PAPER)
    figure.text(0.015, 0.972, title, fontsize=14, fontweight="bold", color=INK, va="center", parse_math=False)
    lower = figure.add_gridspec(1, 2, left=0.05, right=0.95, top=0.42, bottom=0.07, wspace=0.26)
    top = [figure.add_axes((left, 0.52, right - left, 0.37)) for left, right in panels]
    return figure, top, [figure.add_subplot(lower[0, i]) for i in range(2)]


def heading(axis: Axes, text: str) -> None:
    """A panel's title, at its left."""
    axis.set_title(text, loc="left", fontsize=11, fontweight="bold", color=INK, pad=8, parse_math=False)


def draw_pair(
    figure: Figure, axes: Sequence[Axes], audio: Sequence[np.ndarray], rate: int, titles: Sequence[str], join: float = 0
) -> None:
    """Two spectrograms side by side; a line where something new begins."""
    for axis, one, title in zip(axes, audio, titles, strict=True):
        draw_spectrogram(figure, axis, torch.from_numpy(np.ascontiguousarray(one)).float(), rate, len(one) / rate)
        heading(axis, title)
        axis.set_xlabel("time (s)", fontsize=10, color=INK)
        axis.tick_params(labelsize=9, labelcolor=INK, color=FAINT)
        for spine in axis.spines.values():
            spine.set_visible(False)
        if join:
            axis.axvline(join, color=PAPER, linewidth=1.5, linestyle="--")


def draw_intervals(axis: Axes, names: Sequence[str], found: Sequence[Estimate], colours: Sequence[str], digits: int = 2) -> None:
    """One bar with its interval a row, the first on top, its figure behind it."""
    places = np.arange(len(names))[::-1]
    values = np.array([e.value for e in found])
    ends = np.array([[e.low if np.isfinite(e.low) else e.value, e.high if np.isfinite(e.high) else e.value] for e in found])
    axis.barh(places, values, color=list(colours), height=0.62, alpha=0.85)
    apart = np.abs(ends - values[:, None]).T
    axis.errorbar(values, places, xerr=apart, fmt="none", ecolor=INK, elinewidth=1.3, capsize=3)
    axis.set_yticks(places, names, fontsize=9, color=INK)
    for place, value, (_, high) in zip(places, values, ends, strict=True):
        axis.annotate(
            f"{value:,.{digits}f}",
            (max(high, value), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    axis.margins(x=0.16)
    tidy(axis)


def tidy(axis: Axes) -> None:
    """Without a box; small, quiet ticks."""
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=9, labelcolor=INK, color=FAINT)


def _draw_losses(axis: Axes, table: Table | None, levels: Levels) -> None:
    assert table is not None
    names, found = estimates(table, table.columns[1])
    draw_intervals(axis, names, found, [*LEVEL_COLOURS[: len(levels)], GREY])
    heading(axis, "Validation loss by level")


def draw_distances(axis: Axes, table: Table | None, made: tuple[str, ...]) -> None:
    """Frechet distances, those of what was `made` in colour."""
    assert table is not None
    names, found = estimates(table, "distance")
    colours = [ACCENT if name.startswith(made) else GREY for name in names]
    draw_intervals(axis, [name.replace(" (", "\n(") for name in names], found, colours)
    heading(axis, "Frechet distance to recordings")


def _draw_agreement(axis: Axes, table: Table | None) -> None:
    """Dots: with the own context, and with other songs'."""
    if table is None:
        axis.text(0.5, 0.5, "no tempo and key:\nsee the notes in results.md", ha="center", va="center", fontsize=10, color=FAINT)
        axis.set_axis_off()
        return
    places = np.arange(len(table.rows))[::-1]
    for column, colour, label in (("others'", GREY, "with other songs' contexts"), ("own context", ACCENT, "with its own context")):
        cells = [row[table.columns.index(column)] for row in table.rows]
        found = [cell for cell in cells if isinstance(cell, Estimate)]
        values = np.array([e.value for e in found])
        apart = np.nan_to_num(np.abs(np.array([[e.low, e.high] for e in found]) - values[:, None])).T
        axis.errorbar(values, places, xerr=apart, fmt="o", color=colour, elinewidth=1.3, capsize=3, markersize=5, label=label)
    axis.set_yticks(places, [f"{row[0]}\n{row[1]}" for row in table.rows], fontsize=8, color=INK)
    axis.grid(axis="x", color="#e4e6ea", linewidth=0.8)
    axis.set_axisbelow(True)
    tidy(axis)
    axis.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(-0.02, 1.005), ncols=1, borderpad=0)
    axis.set_ylim(-0.6, len(places) + 0.7)
    heading(axis, "Agreement with the context")
