"""The picture of a folder of generated audio beside recordings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snac_plugin.evaluation import music
from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.drawing import ACCENT, GREY, draw_distances, draw_pair, heading, sheet, tidy
from snac_plugin.evaluation.report import Report
from snac_plugin.output.pictures import FAINT, INK

SLOWEST, FASTEST = 40, 240


def folder_picture(report: Report, generated: Clips, recordings: Clips, heard: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Frechet distance, tempo and key above; a recording and a generated clip below."""
    figure, top, bottom = sheet(report.title, ((0.14, 0.33), (0.4, 0.65), (0.71, 0.985)))
    draw_distances(top[0], report.table("frechet"), ("generated",))
    for axis, title, what in ((top[1], "Tempo", "tempo, beats a minute"), (top[2], "Key", "key")):
        heading(axis, f"{title} (share of clips)")
        if what not in heard:
            axis.text(0.5, 0.5, "librosa is missing", ha="center", va="center", fontsize=10, color=FAINT)
            axis.set_axis_off()
            continue
        edges = np.arange(25) - 0.5 if what == "key" else np.arange(SLOWEST, FASTEST + 1, 10)
        _draw_shares(axis, heard[what], edges)
        axis.set_xlabel("beats a minute" if what != "key" else "major, then minor", fontsize=9, color=INK)
    if "key" in heard:
        top[2].set_xticks(range(24), [*music.NAMES, *(name.lower() for name in music.NAMES)], fontsize=7)
    titles = (f"recording: {recordings.files[0].name}", f"generated: {generated.files[0].name}")
    draw_pair(figure, bottom, (recordings.audio[0].numpy(), generated.audio[0].numpy()), generated.rate, titles)
    return figure


def _draw_shares(axis: Axes, values: Mapping[str, np.ndarray], edges: np.ndarray) -> None:
    for (name, found), colour in zip(sorted(values.items()), (ACCENT, GREY), strict=True):
        shares = np.histogram(np.clip(found, edges[0], edges[-1]), edges)[0] / max(len(found), 1)
        axis.stairs(shares, edges, fill=True, alpha=0.55, color=colour, label=name)
    axis.tick_params(axis="y", labelsize=9, labelcolor=INK, color=FAINT)
    axis.grid(axis="y", color="#e4e6ea", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8.5, loc="upper right")
    axis.margins(y=0.25)
    tidy(axis)
