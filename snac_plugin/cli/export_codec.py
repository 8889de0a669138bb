"""Write a trained codec as a folder in the format of the hub: config.json, pytorch_model.bin, README.md.

    python -m snac_plugin export_codec --ckpt-path runs/snac_codec_tiny/checkpoints/last.ckpt --out codec/mine

`SNAC.from_pretrained("codec/mine")` loads it, and a model config names it as its "codec".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.cli.arguments import check_paths
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.errors import CheckpointError
from snac_plugin.files import check_folder
from snac_plugin.wording import counted


def parser() -> CommandParser:
    made = CommandParser("export_codec", description=__doc__)
    made.add_argument("--ckpt-path", required=True, metavar="FILE", help="training checkpoint")
    made.add_argument("--model-config", metavar="FILE", help="model config, for a checkpoint without one inside")
    made.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")
    made.add_argument(
        "--half", action="store_true", help="store the decoder in half precision: the same codes, audio all but the same"
    )
    made.add_argument("--no-ema", action="store_true", help="take the weights as trained in place of the averaged ones")
    return made


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    check_paths(args)
    check_folder("--out", args.out)

    import torch

    from snac_plugin.checkpoints.reading import read_checkpoint
    from snac_plugin.codec.load import load_codec, read_config
    from snac_plugin.codec.places import locate
    from snac_plugin.codec_training.export import save_codec, snac_from_autoencoder
    from snac_plugin.config import check_codec_config, snac_config

    checkpoint = read_checkpoint(args.ckpt_path, ema=not args.no_ema)
    config = checkpoint.config_for(args.model_config)
    checked = check_codec_config(config)
    pretrained = None if checked.model.pretrained is None else read_config(locate(checked.model.pretrained)[0])
    made = snac_config(checked.model, checked.sample_rate, pretrained)
    _check_codebooks(checkpoint, checked.model)
    model = snac_from_autoencoder(checkpoint.state, made, args.ckpt_path)
    card = _card(args.out.name, model, config, checkpoint.steps)
    save_codec(args.out, model, made, card, torch.float16 if args.half else torch.float32)
    print(f"codec: {args.out} (fingerprint {load_codec(str(args.out.resolve())).fingerprint})")
    return 0


def _check_codebooks(checkpoint: Any, section: Any) -> None:
    """An error if codebooks are still random: training ended in the warm-up, where noise stands in for them."""
    starts = checkpoint.state.get("bottleneck.starts")
    if section.pretrained is None and starts is not None and int(starts) == 0 and section.codebook_starts:
        found = f"codebooks that have not started from data after {counted(checkpoint.steps, 'step')}"
        expected = f"steps past {min(section.codebook_starts)}, the first of model.bottleneck.config.codebook_starts"
        raise CheckpointError(str(checkpoint.path), found, expected, "Train on from it with --recover.")


def _card(name: str, model: Any, config: dict[str, Any], steps: int) -> str:
    weights = sum(p.numel() for p in model.parameters())
    started = config["model"].get("pretrained")
    return f"""# {name}

A SNAC codec ([hubertsiuzdak/snac](https://github.com/hubertsiuzdak/snac), its own class and format) with {weights:,} weights,
for mono audio at {config["sample_rate"]:,} Hz{f"; training began from {started}" if started else ""}.

Trained with stable-audio-tools and snac_plugin for {counted(steps, "step")}.
"""
