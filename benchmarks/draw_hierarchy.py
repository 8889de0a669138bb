"""Draw the picture of the hierarchy in the README.

python benchmarks/draw_hierarchy.py
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

OUT = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "hierarchy.svg"
LEVELS = {"A": 1, "B": 2, "C": 4, "D": 8}
FRAMES = 4  # drawn of the 64 in a chunk
CHUNKS = ("context\n6.144 s", "context\n6.144 s", "new chunk\n6.144 s")
ACTIVE = 2  # level C is being denoised
FINISHED, NOISE, LATER, EDGE = "#2f6f8f", "#d98b3a", "#ffffff", "#33434d"


def main() -> None:
    """Write the picture."""
    figure = Figure(figsize=(12, 4.0))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-2.0, 3 * 8 + 9.2), ylim=(-1.75, 6.0))
    axes.axis("off")
    generator = np.random.default_rng(0)
    for chunk, label in enumerate(CHUNKS):
        left = chunk * 8.4
        axes.text(left + 4, 5.35, label, ha="center", va="center", fontsize=12, color=EDGE, linespacing=1.4)
        for row, (name, count) in enumerate(LEVELS.items()):
            _cells(axes, left, 3.6 - row * 1.2, count * FRAMES, chunk == 2, row, generator)
            if chunk == 0:
                axes.text(-0.6, 4.05 - row * 1.2, name, ha="right", va="center", fontsize=17, fontweight="bold", color=EDGE)
    right = 2 * 8.4 + 8.35
    notes = ("64 codes, done", "128 codes, done", "256 codes, being denoised", "512 codes, still to come")
    for row, note in enumerate(notes):
        axes.text(right, 4.05 - row * 1.2, note, ha="left", va="center", fontsize=11, color=NOISE if row == ACTIVE else EDGE)
    for start in (4, 12.4):
        arrow = FancyArrowPatch((start, -0.25), (20.8, -0.25), connectionstyle="arc3,rad=0.12", arrowstyle="-|>", mutation_scale=16)
        arrow.set(color=NOISE, linewidth=1.6)
        axes.add_patch(arrow)
    text = "C sees both chunks of context and the finished A and B of its own chunk; D will see C too"
    axes.text(12.4, -1.6, text, ha="center", va="center", fontsize=11, color=EDGE)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, metadata={"Date": None})


def _cells(axes, left: float, bottom: float, count: int, new: bool, row: int, generator: np.random.Generator) -> None:
    width = 8 / count
    for cell in range(count):
        face, alpha = FINISHED, 0.55 + 0.45 * generator.random()
        if new and row == ACTIVE:
            face, alpha = NOISE, 0.25 + 0.75 * generator.random()
        elif new and row > ACTIVE:
            face, alpha = LATER, 1.0
        box = Rectangle((left + cell * width, bottom), width, 0.9, facecolor=face, alpha=alpha, edgecolor="none")
        axes.add_patch(box)
        style = {"linestyle": ":", "edgecolor": "#9aa7ae"} if face == LATER else {"edgecolor": "white"}
        axes.add_patch(Rectangle((left + cell * width, bottom), width, 0.9, fill=False, linewidth=0.9, **style))


if __name__ == "__main__":
    main()
