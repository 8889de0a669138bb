"""The command line: one module a command, each with `main(argv) -> exit status or None`.

Imports nothing heavy, so that `doctor` runs where torch cannot be imported.
"""

import importlib
import sys
from collections.abc import Sequence

from snac_plugin.errors import CodecError, InstallationError, SnacPluginError, UsageError
from snac_plugin.files import unwritable
from snac_plugin.plugin.import_hook import hide_notices

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": "render music, fine-tune the shipped model on it and generate: the whole chain in minutes",
    "songs": "render a folder of demo music",
    "train": "train from a model config",
    "generate": "generate audio from a checkpoint",
    "pre_encode": "encode folders of audio once, so that training need not run the codec",
    "scan": "read every audio file of a dataset once, report, and list those to train on",
    "evaluate": "measure a model, a codec or a folder of generated audio on held-out songs",
    "run_gradio": "open the page of a checkpoint",
    "unwrap": "turn a training checkpoint into one for inference",
    "ema": "rebuild a moving average of any length from a training's snapshots",
    "export_codec": "write a trained codec in the format of the hub, which SNAC itself loads",
    "config_reference": "print all keys of a model config",
    "doctor": "say what is installed, what is wrong and what to do about it",
}
REMOVED = {
    "train_codec": "use `train.py --model-config model_configs/snac_codec_tiny.json`, then `python -m snac_plugin export_codec`"
}
"""Commands of earlier versions, and what to use instead."""

SINGLE = {"conditioning": "condition", "negative_conditioning": "negative_condition"}
"""Flags that take JSON, and those beside them that take one key of it."""


def usage() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        "usage: python -m snac_plugin COMMAND [ARGS]\n"
        "       python -m snac_plugin SCRIPT [ARGS]   run a script of stable-audio-tools with the plugin registered\n\n"
        f"{commands}\n\nEach command explains its arguments with --help."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command or a script; an error that a user can mend is shown without a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    hide_notices()
    try:
        if name in COMMANDS:
            return importlib.import_module(f"snac_plugin.cli.{name}").main(rest) or 0
        if name in REMOVED:
            raise SnacPluginError(f"{name} is no longer a command: {REMOVED[name]}.")
        from snac_plugin.cli.run_script import run

        run(name, rest)
        return 0
    except SnacPluginError as error:
        return _failed(error, name, rest)
    except Exception as error:
        if told := unwritable(error):  # a log, say, that another package writes
            return _failed(told, name, rest)
        raise


def _failed(error: SnacPluginError, command: str, words: Sequence[str]) -> int:
    text = str(error)
    if isinstance(error, UsageError | InstallationError | CodecError):
        names = _flags(command, words)
        of_prompt = "'prompt'" in str(error.found) or error.where.startswith("conditioning: prompt")
        if of_prompt and any(word.partition("=")[0] == "--prompt" for word in words):  # short for a key of --conditioning
            names["conditioning"] = "--prompt"
        text = error.message(names)
    print(f"error: {text}", file=sys.stderr)
    return 1


def _flags(command: str, words: Sequence[str]) -> dict[str, str]:
    """How a command calls what has another name in Python; conditions by the flag for one of them, unless JSON was given."""
    names = importlib.import_module(f"snac_plugin.cli.{command}").parser().flag_names if command in COMMANDS else {}
    used = {word.partition("=")[0] for word in words}
    return {name: flag if flag in used else names.get(SINGLE.get(name, ""), flag) for name, flag in names.items()}
