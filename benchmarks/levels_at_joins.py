"""Does the level, or the spectrum, jump where what is new joins a recording? With and without `match`.

    python benchmarks/levels_at_joins.py

Continues, repaints and varies held-out songs, and compares two seconds of the recording with the two seconds of what is new beside
them (of a variation: the whole of both). Prints medians over songs and seeds, real music at the same places beside them. The jump
at a join is the rise of the spectrum there over that in the seconds around it: 1 is as much as music does anyway.
Letters: N audio samples, K bands.
"""

import itertools
import os
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import measure
import numpy as np
import scipy.signal
import songs
import spectral_flux
import torch
from torch import Tensor

from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin.loading import load_model

SECONDS = 2.0
LIMITS_HZ = (0, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
FROM, TO = 4.0, 8.0  # seconds that are repainted
Pairs = list[tuple[Tensor, Tensor, Tensor | None]]  # of the recording, of what is new, and both in order where they join [N]


def levels_db(audio: Tensor, rate: int) -> np.ndarray:
    """The level of audio [N], then those of its octaves, in dB [1 + K]."""
    frequencies, power = scipy.signal.welch(audio.numpy(), rate, nperseg=min(2048, len(audio)))
    bands = [power[(frequencies >= low) & (frequencies < high)].sum() for low, high in itertools.pairwise(LIMITS_HZ)]
    return 10 * np.log10(np.array([sum(bands), *bands]) + 1e-12)


def continuation(model: SnacDiffusion, song: Tensor, context: int, **options: object) -> Pairs:
    made = model.generate(context=song[:context], **options)
    size = round(SECONDS * model.sample_rate)
    return [joined(torch.cat([song[context - size : context], one[0, :size]])) for one in made]


def repainting(model: SnacDiffusion, song: Tensor, context: int, **options: object) -> Pairs:
    """Both joins."""
    made = model.generate(edit=song[:context], repaint=[(FROM, TO)], **options)
    size, first, last = (round(seconds * model.sample_rate) for seconds in (SECONDS, FROM, TO))
    before = [joined(one[0, first - size : first + size]) for one in made]
    after = [joined(one[0, last - size : last + size]) for one in made]
    return before + [(own, new, whole) for new, own, whole in after]


def joined(audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is before the middle of audio [N], what is after it, and all."""
    middle = len(audio) // 2
    return audio[:middle], audio[middle:], audio


def variation(model: SnacDiffusion, song: Tensor, context: int, **options: object) -> Pairs:
    return [(song[:context], one[0], None) for one in model.generate(edit=song[:context], **options)]


WAYS: dict[str, tuple[Callable[..., Pairs], dict[str, object]]] = {
    "continued": (continuation, {}),
    "repainted": (repainting, {}),
    "repainted, put back": (repainting, {"put_back": True}),
    "level A kept": (variation, {"keep_levels": "A"}),
    "strength 0.4": (variation, {"strength": 0.4}),
}


def jump(audio: Tensor, rate: int, frame: int) -> float:
    """Spectral flux in the middle of audio [N] over that in the rest of it, at starts of frames of so many samples."""
    values, middle = spectral_flux.flux(audio.numpy()), np.array([len(audio) // 2])
    grid = spectral_flux.inside(middle, len(audio), rate, frame)
    usual = max(float(spectral_flux.flux_at(values, grid, rate).mean()), 1e-10)
    return float(spectral_flux.flux_at(values, middle, rate).mean()) / usual


def rows_of(name: str, pairs: Pairs, rate: int, frame: int) -> tuple[list[str], dict[str, list[float]]]:
    """Medians of: the difference in level, its size, the mean size of the bands' differences; of the jump; and all of them."""
    found = np.stack([levels_db(new, rate) - levels_db(own, rate) for own, new, _ in pairs])
    bands = np.abs(found[:, 1:]).mean(axis=1)
    cells = [f"{np.median(found[:, 0]):+.1f}", f"{np.median(abs(found[:, 0])):.1f}", f"{np.median(bands):.1f}"]
    jumps = [jump(whole, rate, frame) for *_, whole in pairs if whole is not None]
    cells += [f"{abs(found[:, 0]).max():.1f}", f"{np.median(jumps):.2f}" if jumps else ""]
    return [name, str(len(pairs)), *cells], {"differences": found.tolist(), "jumps": jumps}


def main(argv: Sequence[str] | None = None) -> None:
    """Generate, measure, report."""
    parser = measure.parser(__doc__)
    parser.add_argument("--ckpt", default="snac_dit_tiny", help="checkpoint")
    parser.add_argument("--steps", type=int, default=24, help="steps of a chunk")
    parser.add_argument("--samples", type=int, default=2, help="seeds of each song")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--as-generated-only", action="store_true", help="leave out the matched ones")
    songs.add_arguments(parser, held_out=6, seconds=24)
    args = parser.parse_args(argv)
    device = measure.start(args)
    model = load_model(args.ckpt, device=device)
    rate, context = model.sample_rate, 2 * model.chunk_samples
    frames = 3 * model.model.network.config.chunk_frames
    found = [song.audio(model.pretransform) for song in songs.held_out(args, model.pretransform, frames)]
    size, places = round(SECONDS * rate), (context, round(FROM * rate), round(TO * rate))
    inside = [(song, at) for song in found for at in places if at + size <= len(song)]
    pairs: dict[str, Pairs] = {"real music": [joined(song[at - size : at + size]) for song, at in inside]}
    for name in args.ways:
        way, options = WAYS[name]
        for match in (False,) if args.as_generated_only else (False, True):
            asked = {"steps": args.steps, "batch_size": args.samples, "seed": args.seed, "progress": False} | options
            asked |= {} if args.as_generated_only else {"match": match}
            title = f"{name}, {'matched' if match else 'as generated'}"
            pairs[title] = [pair for song in found for pair in way(model, song, context, **asked)]
    frame = model.levels.frame_samples
    rows, values = zip(*(rows_of(name, found, rate, frame) for name, found in pairs.items()), strict=True)
    header = ["what", "places", "level after, dB", "its size, dB", "bands, dB", "largest, dB", "jump"]
    about = f"{len(found)} held-out songs, {args.samples} seeds, {args.steps} steps. {measure.machine(device)}."
    measure.report(args, device, "levels_at_joins", [about, measure.table(header, rows)], dict(zip(pairs, values, strict=True)))


if __name__ == "__main__":
    main()
