"""Does a condition do something? Losses of a checkpoint on held-out songs with what is said of them, and of another song.

    python -m snac_plugin songs held_out --songs 16 --split held_out
    python benchmarks/conditions.py --ckpt runs/snac_dit_styles/checkpoints/last.ckpt --data held_out

Each clip is one chunk without context, the same noise in all rows. Where a condition of another song raises the loss, the model
has learned what it means.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import measure
import songs
import torch
from torch import Tensor

from snac_plugin.errors import UsageError
from snac_plugin.evaluation.clip_conditions import metadata_of, with_clips
from snac_plugin.evaluation.clips import encode, read_clips
from snac_plugin.evaluation.held_out_losses import chunk_losses, last_chunks, other_songs
from snac_plugin.evaluation.options import Options
from snac_plugin.generation.option import Metadata
from snac_plugin.plugin.loading import load_model

TRUE, ALL = "its own", "all"


def main(argv: Sequence[str] | None = None) -> None:
    """Test, report."""
    args = _parser().parse_args(argv)
    device = measure.start(args)
    model = load_model(args.ckpt, device=device).eval()
    if not model.read_ids:
        raise UsageError("--ckpt", f"{args.ckpt}, a model without conditions", "one that reads some")
    clips = read_clips(args.data, model.sample_rate, model.chunk_samples, args.clips, seed=args.seed, progress=False)
    options = with_clips(Options(seed=args.seed, progress=False), clips, model.config, model.chunk_samples, or_else="")
    codes = encode(model.pretransform, clips.audio, options.batch, progress=False)
    chunk, _, noise = last_chunks(model, codes, len(args.noise_levels), args.seed)
    own = metadata_of(model, options, range(len(codes)), 0, 1)

    def losses(metadata: Sequence[Metadata]) -> Tensor:
        """By song and level [S, L]."""
        pairs = zip(noise, args.noise_levels, strict=True)
        by_clip = torch.stack([chunk_losses(model, chunk, None, n, t, conditioning=metadata) for n, t in pairs]).mean(dim=0).cpu()
        which = torch.from_numpy(clips.songs)
        return torch.stack([by_clip[which == song].mean(dim=0) for song in range(len(clips.files))])

    alike = {name for name in model.position_ids if len({entry[name] for entry in own}) == 1}  # clips of songs of one length, say
    names = sorted(model.read_ids - alike)
    true, rows, raised = losses(own), [], {}
    for name, keys in {**{name: [name] for name in names}, ALL: names}.items():
        found = torch.zeros_like(true)
        for shuffle in range(args.shuffles):
            other = [own[index] for index in other_songs(clips.songs, args.seed + shuffle)]
            found += losses([{**mine, **{key: theirs[key] for key in keys}} for mine, theirs in zip(own, other, strict=True)])
        raised[name] = found / args.shuffles - true
        cells = [songs.signed(*songs.mean_and_error(level)) for level in (*raised[name].T, raised[name].mean(dim=1))]
        rows.append([f"another song's {name}" if name != ALL else "all of another song's", *cells])
    header = ["condition", *model.levels.names, "mean"]
    rows.insert(0, [TRUE, *(f"{float(value):.3f}" for value in (*true.mean(dim=0), true.mean()))])
    about = (
        f"{len(clips.files)} songs, {len(codes)} clips of a chunk without context, {args.shuffles} shuffles, t {args.noise_levels}"
    )
    paragraphs = [
        f"Losses of {args.ckpt}, and by how much another song's conditions raise them: {about}. {measure.machine(device)}.",
        measure.table(header, rows),
    ]
    values = {TRUE: true.tolist(), **{name: found.tolist() for name, found in raised.items()}}
    measure.report(args, device, "conditions", paragraphs, {"losses": values, "checkpoint": str(args.ckpt)})


def _parser() -> argparse.ArgumentParser:
    parser = measure.parser(__doc__)
    parser.add_argument("--ckpt", type=Path, required=True, metavar="FILE", help="checkpoint of a model with conditions")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="held-out songs, a JSON file beside each")
    parser.add_argument("--clips", type=int, default=64, metavar="N", help="most clips in all (%(default)s)")
    parser.add_argument("--shuffles", type=int, default=3, metavar="N", help="other songs that each is compared with (%(default)s)")
    parser.add_argument("--noise-levels", type=float, nargs="+", default=[0.3, 0.6, 0.9], help="t to test at")
    return parser


if __name__ == "__main__":
    measure.told(main)
