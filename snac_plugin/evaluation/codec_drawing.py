"""The picture of a codec's evaluation.

Letters: P clips, N audio samples, S songs, K multiples of the codec's rate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from snac_plugin.evaluation.bootstrap import Estimate
from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.drawing import ACCENT, GREY, draw_intervals, draw_pair, heading, sheet, tidy
from snac_plugin.evaluation.report import Report, estimates
from snac_plugin.levels import Levels
from snac_plugin.output.pictures import FAINT, INK, LEVEL_COLOURS

OTHERS = (GREY, "#c9892f")


def codec_picture(
    report: Report, clips: Clips, made: Tensor, excess: Mapping[str, np.ndarray], frequencies: np.ndarray, levels: Levels
) -> Figure:
    """Distances, code usage and buzz above; a recording and its round trip below.

    Args:
        report: with the tables "distances" and "usage".
        clips: the recordings.
        made: their round trips [P, N].
        excess: of each coder, lines above the recordings' in dB [S, K].
        frequencies: of the lines in Hz [K].
        levels: the codec's geometry.
    """
    figure, top, bottom = sheet(report.title, ((0.12, 0.32), (0.38, 0.59), (0.66, 0.985)))
    distances, usage = report.table("distances"), report.table("usage")
    assert distances is not None
    assert usage is not None
    colours = dict(zip(excess, (ACCENT, *OTHERS), strict=False))
    names, found = estimates(distances, distances.columns[2])
    draw_intervals(top[0], [wrapped(n) for n in names], found, [colours[n] for n in names])
    heading(top[0], "Log-mel distance, six scales (dB)")
    rows = [row for row in usage.rows if row[0] == usage.rows[0][0]]
    spread = [cell for row in rows if isinstance(cell := row[3], Estimate)]
    draw_intervals(top[1], [str(row[1]) for row in rows], spread, LEVEL_COLOURS[: len(levels)], digits=0)
    heading(top[1], "Perplexity of the codes")
    _draw_lines(top[2], excess, frequencies, colours)
    heading(top[2], f"Lines at multiples of {frequencies[0]:.1f} Hz, above the recordings' (dB)")
    titles = (f"recording: {clips.files[0].name}", f"through {next(iter(excess))}")
    draw_pair(figure, bottom, (clips.audio[0].numpy(), made[0].numpy()), clips.rate, titles)
    return figure


def wrapped(name: str) -> str:
    """A name on two lines, broken at its comma or bracket."""
    return name.replace(", ", ",\n", 1).replace(" (", "\n(", 1)


def _draw_lines(axis: Axes, excess: Mapping[str, np.ndarray], frequencies: np.ndarray, colours: Mapping[str, str]) -> None:
    for name in reversed(list(excess)):
        axis.plot(frequencies / 1000, excess[name].mean(axis=0), color=colours[name], linewidth=1, label=name.split(" (")[0])
    axis.axhline(0, color=INK, linewidth=0.8)
    axis.set_xlabel("kHz", fontsize=9, color=INK)
    axis.tick_params(axis="y", labelsize=9, labelcolor=INK, color=FAINT)
    axis.grid(axis="y", color="#e4e6ea", linewidth=0.8)
    axis.legend(frameon=False, fontsize=8.5, loc="upper right")
    axis.margins(x=0.01, y=0.3)
    tidy(axis)
