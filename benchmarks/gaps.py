"""Is the future of a gap of use? Losses of a checkpoint on held-out songs, in gaps whose future is shown, and hidden.

    python benchmarks/gaps.py --ckpt FILE

The gap is the middle of the last chunk of a window. What lies before it is known in both, what lies after it where it is shown.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import measure
import songs
import torch
from context_losses import windows_of

from snac_plugin.evaluation.held_out_losses import gap_losses
from snac_plugin.evaluation.options import Options
from snac_plugin.plugin.loading import load_model


def main(argv: Sequence[str] | None = None) -> None:
    """Test, report."""
    args = _parser().parse_args(argv)
    device = measure.start(args)
    model = load_model(args.ckpt, device=device)
    network = model.model.network.config
    size = network.chunk_frames
    window, gap = (network.context_chunks + 1) * size, (size // 4, size - size // 4)
    held_out = windows_of(songs.held_out(args, model.pretransform, window), args.windows, window)
    found = gap_losses(model.eval(), held_out.flatten(0, 1), gap, args.noise_levels, Options(seed=args.seed))
    by_song = {way: torch.from_numpy(v).unflatten(1, held_out.shape[:2]).mean(dim=(0, 2)) for way, v in found.items()}
    rows = []
    for level, name in enumerate(model.levels.names):
        shown, hidden = (by_song[way][:, level] for way in ("shown", "hidden"))
        gain = songs.signed(*songs.mean_and_error(hidden - shown))
        rows.append([name, f"{float(shown.mean()):.3f}", f"{float(hidden.mean()):.3f}", gain])
    first, stop = gap
    about = f"{held_out.shape[0]} held-out songs, {held_out.shape[1]} windows each, t {args.noise_levels}"
    paragraphs = [
        f"Losses of {args.ckpt} in frames {first} to {stop} of {size}: {about}. {measure.machine(device)}.",
        measure.table(["level", "future shown", "future hidden", "hidden minus shown"], rows),
    ]
    values = {way: losses.tolist() for way, losses in found.items()}
    measure.report(args, device, "gaps", paragraphs, {"losses": values, "checkpoint": str(args.ckpt)})


def _parser() -> argparse.ArgumentParser:
    parser = measure.parser(__doc__)
    parser.add_argument("--ckpt", type=Path, required=True, metavar="FILE", help="checkpoint to test")
    songs.add_arguments(parser, held_out=16, seconds=60.0)
    parser.add_argument("--windows", type=int, default=2, help="windows of each held-out song")
    parser.add_argument("--noise-levels", type=float, nargs="+", default=[0.3, 0.6, 0.9], help="t to test at")
    return parser


if __name__ == "__main__":
    main()
