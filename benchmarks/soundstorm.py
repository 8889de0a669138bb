"""soundstorm-pytorch beside ours: the same codes, equal weights, equal CPU time, the same tests.

    python benchmarks/soundstorm.py --minutes 11

Its Conformer, its loss and its sampling are the package's own (version 0.6.1), trained with our optimizer, average of the weights
and batches, and its trainer's clipping at a norm of 0.5. The package takes residual codes [B, positions, quantizers]: here a frame
is a position, and its 15 codes (of four levels) in packed order A0 B0 B1 C0 .. D7 are its 15 quantizers. So it learns each code
from the finished rows before it, and hides all rows after it, as it does with the levels of a residual codec. Its
`grouped_quantizers` is not used: of each group it trains the first code alone. What is before the chunk is its prompt, which its
loss draws, too, as a prefix of any length.

Each of the 15 has a table of codes in and one out of its own: at equal weights the network is narrow. `--soundstorm-dims 0 128`
trains one at equal weights, and one of width 128.

Its sampling spends all passes but 14 on A0, and one on each row after it (its default: 18 + 14); "all rows alike" gives each row
the same number (its num_full_sampling_levels). Rows of ours are those that `choices.py` kept with the same settings.

    pip install --no-deps soundstorm-pytorch==0.6.1 audiolm-pytorch spear-tts-pytorch hyper-connections beartype x-clip timm \
        classifier-free-guidance-pytorch gateloop-transformer local-attention rotary-embedding-torch pytorch-warmup open_clip_torch

in an environment of its own that has this package, too, and what else the import asks for. Its requirement fairseq may be left out:
it reads speech, which nobody asks for here.
"""

import argparse
import os
from collections.abc import Mapping, Sequence

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import choices
import measure
import songs
import torch
from choices_report import Row, by_variant, heard_names, made_rows, missing, references, spread
from choices_tests import HeldOut
from choices_variants import config_of, weights_of
from small_trainings import CHUNKS
from soundstorm_training import SoundStormRun, dim_of, package

from snac_plugin.cli.demo_songs import kind_from


def main(argv: Sequence[str] | None = None) -> None:
    """Train, test, report; stopped, the same command goes on."""
    args = _parser().parse_args(argv)
    device = measure.start(args)
    its_classes = package()
    held_out = choices.held_out_of(args)
    window = CHUNKS * args.chunk_frames
    codes = args.codes or songs.demo_codes(held_out.codec, "train", args.music, args.songs, args.seconds, window, kind_from(args))
    ours = choices.rows_there(args, codes, held_out, device)
    names = dict.fromkeys(["base", *(name for name, _ in ours)])
    sizes = {name: (args.dim, weights_of(config_of(name, args, held_out.codec), held_out.codec)) for name in names}
    weights, rows = sizes["base"][1], {}
    for asked in args.soundstorm_dims:
        dim = asked or dim_of(weights, args, held_out, its_classes)
        name = f"soundstorm, {'equal weights' if not asked else f'width {dim}'}"
        for seed in args.seeds_of_others:
            run = SoundStormRun(its_classes, dim, seed, args, held_out, codes, device)
            rows[name, seed] = run.row(held_out)
            sizes[name] = (dim, sum(p.numel() for p in run.model.parameters()))
    _report(args, device, held_out, ours | rows, sizes, missing(ours, choices.order(args)))


def _parser() -> argparse.ArgumentParser:
    made = choices.parser()
    made.description = __doc__
    made.set_defaults(variants=["masked", "patches_by_code"])
    made.add_argument("--soundstorm-dims", type=int, nargs="+", default=[0], metavar="DIM", help="widths; 0 has the base's weights")
    made.add_argument("--soundstorm-learning-rate", type=float, help="if not --learning-rate")
    return made


def _report(
    args: argparse.Namespace,
    device: torch.device,
    held_out: HeldOut,
    rows: Mapping[tuple[str, int], Row],
    sizes: Mapping[str, tuple[int, int]],
    lacking: str,
) -> None:
    """Print and write the tables of both."""
    found, known, steps = by_variant(rows), references(args, held_out), sorted(args.steps)
    costs = []
    for name, seeds in found.items():
        first = next(iter(seeds.values()))
        dim, weights = sizes[name]
        minutes = spread([row.minutes for row in seeds.values() if row.minutes is not None] or [float("nan")], 1)
        costs.append([name, str(dim), f"{weights / 1e6:.2f}", str(len(seeds)), f"{first.seconds:.3g}", str(first.steps), minutes])
    paragraphs = [
        f"soundstorm-pytorch beside ours: a position a frame, its codes as quantizers. depth {args.depth}, chunks of "
        f"{args.chunk_frames} frames after two chunks of context, batches of {args.batch_size} windows, {args.minutes:g} minutes "
        f"each. {len(held_out.songs)} held-out songs; in brackets the middle 95 % of a bootstrap over songs. "
        f"{measure.machine(device)}.",
        f"Of ours (`choices.py`, the same settings): {lacking}",
        measure.table(["", "width", "weights, M", "seeds", "seconds a step", "steps", "minutes"], costs),
        measure.table(
            [
                "",
                "sampler",
                *(cell for count in steps for cell in (f"Frechet distance, {count} passes", "minus base")),
                *heard_names(held_out.codec.levels.names),
                *(f"seconds a chunk, {count} passes" for count in steps),
            ],
            made_rows(found, known, steps, len(held_out.songs)),
        ),
    ]
    measure.report(args, device, "soundstorm", paragraphs, {"costs": costs})


if __name__ == "__main__":
    measure.told(main)
