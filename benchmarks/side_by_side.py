"""Spectrograms of a held-out song as it goes on and of its continuations by several checkpoints, one below the other.

    python -m snac_plugin songs held_out --songs 1 --seconds 40 --split held_out --styles house --tempo 125 --key "A minor"
    python benchmarks/side_by_side.py --song held_out/held_out_00000.flac --ckpt "second version=former.safetensors" \\
        --ckpt "third version=snac_dit_tiny" --out docs/pictures/continuations.png

Each continues the first 12.288 s with the conditions in the JSON file beside the song, as far as it reads them.
"""

import argparse
import json
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from snac_plugin import load_model
from snac_plugin.cli.memory import reuse_freed_memory
from snac_plugin.data.audio import read_audio
from snac_plugin.files import write_whole
from snac_plugin.output.pictures import INK, PAPER, draw_spectrogram

CONTEXT = 12.288  # seconds: two chunks
NEW = 6.144


def continued(checkpoint: str, context: Tensor, facts: dict, seed: int) -> Tensor:
    """The beginning of a song [1, N] and a chunk that goes on from it."""
    model = load_model(checkpoint)
    conditioning = model.config.model.conditioning
    said = conditioning.read_of(facts) if conditioning else {}
    new = model.generate(context=context, seconds=NEW, seed=seed, conditioning=said or None)
    return torch.cat([context, new[0]], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--song", type=Path, required=True, metavar="FILE", help="held-out song, with its JSON file beside it")
    parser.add_argument("--ckpt", action="append", required=True, metavar="TITLE=FILE", help="checkpoint; may be repeated")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="picture to write")
    args = parser.parse_args()
    reuse_freed_memory()
    facts = json.loads(args.song.with_suffix(".json").read_text(encoding="utf-8"))
    rate, audio = read_audio(args.song)
    rows = {"the song as it goes on": audio[:, : round((CONTEXT + NEW) * rate)]}
    for title, _, checkpoint in (word.partition("=") for word in args.ckpt):
        rows[f"continued by the {title}"] = continued(checkpoint, audio[:, : round(CONTEXT * rate)], facts, args.seed)
    figure = Figure(figsize=(12, 2.6 * len(rows)), dpi=80, facecolor=PAPER)
    figure.subplots_adjust(left=0.07, right=0.9, top=0.96, bottom=0.07, hspace=0.45)
    for axis, (title, row) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        draw_spectrogram(figure, axis, row[0], rate, (0, row.shape[1] / rate))
        axis.axvline(CONTEXT, color=PAPER, linewidth=1.5, linestyle="--")
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
        axis.set_xlabel("time (s)")
    write_whole(args.out, lambda part: figure.savefig(part, format="png"))


if __name__ == "__main__":
    main()
