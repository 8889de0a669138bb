"""The picture of an evaluation: nothing that it says is cut off."""

from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from snac_plugin.evaluation.report_picture import draw_note, report_picture


@pytest.mark.parametrize("loudness", [1.0, 1e-4])
def test_all_its_words_are_within_it(loudness: float) -> None:
    """The units of the right colour bar were cut off."""
    noise = (loudness * np.random.default_rng(0).standard_normal(64000)).astype(np.float32)
    panels: Any = {title: lambda axis: draw_note(axis, "nothing") for title in ("one", "two", "three")}
    figure = report_picture("title", panels, {"left": noise, "right": noise}, 32000)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    words = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text()]
    assert sum("dB" in one.get_text() for one in words) >= 6
    axes = [axis for axis in figure.findobj() if hasattr(axis, "get_tightbbox") and hasattr(axis, "xaxis")]
    renderer = canvas.get_renderer()
    ends = [(box.x0, box.x1) for axis in axes if (box := axis.get_tightbbox(renderer)) is not None]
    assert min(start for start, _ in ends) >= 0
    assert max(end for _, end in ends) <= figure.bbox.width
