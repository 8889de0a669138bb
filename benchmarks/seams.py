"""The continuations that `continuations.py` measures, and the seams at the borders of their chunks.

Letters: S songs, R rows, T frames, N audio samples.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import songs
import spectral_flux
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

PLOT_SECONDS = 0.3


@dataclass(frozen=True)
class Music:
    """Songs from the first new chunk on.

    Args:
        codes: packed codes, two chunks of context and then the rest [S, R, T].
        audio: from the first new chunk on [S, N].
    """

    codes: Tensor
    audio: np.ndarray


@dataclass(frozen=True)
class Continuations:
    """Held-out songs, continued.

    Args:
        contexts: audio of the contexts, as recorded [S, N].
        generated: their continuations by the model.
        real: how the songs go on, through the codec and back.
        patched: the generated codes decoded chunk by chunk [S, N].
        chunk: samples of a chunk.
        frame: samples of a frame.
        rate: samples a second.
    """

    contexts: np.ndarray
    generated: Music
    real: Music
    patched: np.ndarray
    chunk: int
    frame: int
    rate: int

    def chunks(self, audio: np.ndarray, first: int, last: int) -> np.ndarray:
        """Chunks `first` to `last` of new audio, counted from 1."""
        return audio[:, (first - 1) * self.chunk : last * self.chunk]


def seam(continuations: Continuations, folder: Path) -> tuple[list[list[str]], dict[str, list[float]]]:
    """Rows: flux at borders over flux inside, for each kind of audio; and the numbers. Draws `seam.png`."""
    joined = np.concatenate([continuations.contexts, continuations.generated.audio], axis=-1)
    start = continuations.contexts.shape[-1]
    inner = np.arange(continuations.chunk, continuations.generated.audio.shape[-1], continuations.chunk)
    kinds = {
        "generated": (continuations.generated.audio, inner),
        "real music at the same times": (continuations.real.audio, inner),
        "generated, chunks decoded one by one": (continuations.patched, inner),
        "recording to its continuation": (joined, np.array([start])),
    }
    rows, data, curves = [], {}, {}
    for name, (audio, borders) in kinds.items():
        ratios, around = [], []
        for one in audio:
            values = spectral_flux.flux(one)
            every = np.append(borders, start + inner) if audio is joined else borders
            points = spectral_flux.inside(every, len(one), continuations.rate, continuations.frame)
            usual = max(float(spectral_flux.flux_at(values, points, continuations.rate).mean()), 1e-10)
            ratios.append(float(spectral_flux.flux_at(values, borders, continuations.rate).mean()) / usual)
            around.append(spectral_flux.flux_around(values, borders, continuations.rate, PLOT_SECONDS) / usual)
        mean, error = songs.mean_and_error(torch.tensor(ratios, dtype=torch.float64))
        rows.append([name, str(len(borders) * len(audio)), f"{mean:.3f} ± {error:.3f}"])
        data[name], curves[name] = ratios, np.mean(around, axis=0)
    _draw(curves, continuations.rate, folder / "seam.png")
    return rows, data


def _draw(curves: dict[str, np.ndarray], rate: int, path: Path) -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, curve in curves.items():
        reach = len(curve) // 2
        axes.plot(np.arange(-reach, reach + 1) * spectral_flux.FLUX_HOP / rate * 1000, curve, label=name, linewidth=1)
    axes.axhline(1, color="black", linewidth=0.5)
    axes.set(xlabel="time from the border, ms", ylabel="spectral flux over that inside chunks", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
