"""Open the page of a model in a browser.

    python run_gradio.py
    python run_gradio.py --ckpt-path runs/snac_dit/checkpoints/last.ckpt

The flags are those of stable-audio-tools' run_gradio.py, and a few more.
"""

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from snac_plugin.checkpoints.places import hub_config, hub_weights
from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.cli.arguments import add_autoguidance, add_lora, check_paths
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.errors import UsageError
from snac_plugin.files import check_folder


def parser() -> CommandParser:
    made = CommandParser("run_gradio", description=__doc__)
    made.add_argument("--pretrained-name", metavar="ID", help="model on the hub, in place of --ckpt-path")
    made.add_argument("--model-config", metavar="FILE", help="model config; only for a checkpoint without one inside")
    made.add_argument("--ckpt-path", "--ckpt", metavar="FILE", help=f"checkpoint, of training or unwrapped; {DEFAULT} ships here")
    add_lora(made)
    add_autoguidance(made)
    made.add_argument("--pretransform-ckpt-path", metavar="FILE", help="not for this model type: the config names the codec")
    made.add_argument("--share", action="store_true", help="make a public link")
    made.add_argument("--username", metavar="NAME", help="ask for this name ...")
    made.add_argument("--password", metavar="WORD", help="... and this password")
    made.add_argument("--model-half", action="store_true", help="no effect on this package's models, which compute in float32")
    made.add_argument("--title", metavar="TEXT", default="", help="heading of the page")
    made.add_argument("--device", metavar="NAME", help="cuda, cuda:1, mps or cpu; the best one here by default")
    made.add_argument("--out", metavar="FOLDER", help="keep samples and histories there; by default they go when the server ends")
    made.add_argument("--server-name", metavar="HOST", help="address to listen on; 0.0.0.0 lets other machines in")
    made.add_argument("--port", type=int, metavar="N", help="port to listen on; the first free one from 7860 by default")
    return made


def main(argv: Sequence[str]) -> int:
    """Open the page and serve it until Ctrl-C."""
    args = parser().parse_args(argv)
    if (args.username is None) != (args.password is None):
        raise UsageError("--username and --password", "one of them", "both, or neither")
    if args.out is not None:
        check_folder("--out", args.out)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    page = _page(args)
    page.queue()
    page.launch(
        share=args.share,
        auth=None if args.username is None else (args.username, args.password),
        server_name=args.server_name,
        server_port=args.port,
        show_error=True,
    )
    return 0


def _page(args: argparse.Namespace) -> Any:
    name, path = args.pretrained_name, args.ckpt_path
    if name is not None and path is not None:
        raise UsageError("--pretrained-name and --ckpt-path", "both", "one of them")
    check_paths(args)

    import snac_plugin
    from snac_plugin.checkpoints.reading import read_checkpoint
    from snac_plugin.config import load_json
    from snac_plugin.device import pick_device
    from snac_plugin.plugin.registry import BUILDERS

    path = DEFAULT if name is None and path is None else path
    config = hub_config(name) if args.model_config is None else load_json(args.model_config)
    if config and config.get("model_type") not in BUILDERS["ui"]:
        return _plain_page(args)
    if args.pretransform_ckpt_path is not None:
        advice = "The codec is named in the model config: model.pretransform.config.codec."
        raise UsageError("--pretransform-ckpt-path", args.pretransform_ckpt_path, "no checkpoint of a pretransform", advice)

    from snac_plugin.interface.page import create_page

    checkpoint = read_checkpoint(hub_weights(name) if path is None else path)
    config = checkpoint.config_for(config or None)
    model = snac_plugin.load_model(checkpoint, config, pick_device(args.device), args.lora or (), args.autoguidance)
    return create_page(config, model, args.title, folder=args.out, checkpoint=str(name or path))


def _plain_page(args: argparse.Namespace) -> Any:
    """stable-audio-tools' own page, which knows none of --device, --out, --lora and --autoguidance."""
    ours = ("device", "out", "lora", "autoguidance")
    if flags_set := [f"--{name}" for name in ours if getattr(args, name) is not None]:
        advice = "CUDA_VISIBLE_DEVICES picks its device." if "--device" in flags_set else ""
        expected = "none: this model opens stable-audio-tools' own page, which has no such flag"
        raise UsageError(" and ".join(flags_set), "a value", expected, advice)
    import snac_plugin

    snac_plugin.register()
    from stable_audio_tools.interface.gradio import create_ui

    source = (args.model_config, args.ckpt_path, args.pretrained_name, args.pretransform_ckpt_path)
    return create_ui(*source, model_half=args.model_half, gradio_title=args.title)
