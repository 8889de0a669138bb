"""Flags for the options of a request, which `generate.py` and `evaluate.py` share."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from snac_plugin.checkpoints.places import adapter_in, locate_adapter, weaker_in
from snac_plugin.codec import places as codecs
from snac_plugin.diffusion.model_type import MODEL_TYPE
from snac_plugin.diffusion.sampler_names import AUTOGUIDANCE
from snac_plugin.errors import CheckpointError, Mismatch, UsageError
from snac_plugin.generation.option import condition_in
from snac_plugin.generation.request import OPTIONS, Request
from snac_plugin.levels import Levels


def add_options(group: Any, *names: str, **helps: str) -> None:
    """Add a flag for each named field of `Request`, with its help or that in `helps`; beside --conditioning the short flags."""
    for name in names:
        option = OPTIONS[name]
        if name == "conditioning":
            group.add_argument("--prompt", metavar="TEXT", help='short for --conditioning \'{"prompt": "TEXT"}\'')
        count: dict[str, Any] = {} if isinstance(option.metavar, str) else {"nargs": len(option.metavar)}
        flag, text = option.flag_of(name), helps.get(name, option.help)
        if option.single:
            words = f"one key of {flag}: tempo=120, or style=house:0.7,jazz:0.3; may be repeated"
            group.add_argument(f"--{option.single}", action="append", type=_reader(condition_in), metavar="NAME=VALUE", help=words)
        if option.repeated:
            count["action"] = "append"
        if not option.metavar:
            group.add_argument(flag, dest=name, action="store_true", default=None, help=text)
            continue
        group.add_argument(
            flag, dest=name, type=_reader(option.parse), metavar="|".join(option.choices) or option.metavar, help=text, **count
        )


def add_lora(group: Any) -> None:
    """The flag of low-rank adapters."""
    text = "low-rank adapters of the checkpoint, each a file or a folder; strength 1 by default, 0 is none"
    group.add_argument("--lora", nargs="+", metavar="FILE[:STRENGTH]", help=text)


def add_autoguidance(group: Any) -> None:
    """The flag of the weaker model."""
    text = f"weaker model that guidance leads away from, an earlier checkpoint say; scale {AUTOGUIDANCE:g} by default, 1 is none"
    group.add_argument("--autoguidance", metavar="CHECKPOINT[:SCALE]", help=text)


def request_from(args: argparse.Namespace, *names: str) -> Request:
    """The request that parsed flags make, from all options or those named; UsageError for what fits no model."""
    return Request(**options_from(args, *names))


def options_from(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that parsed flags name, of all or of those named."""
    values = {name: getattr(args, name, None) for name in names or OPTIONS}
    pairs = {name for name in values if isinstance(OPTIONS[name].metavar, tuple)}
    values = {name: tuple(value) if name in pairs and value is not None else value for name, value in values.items()}
    if "conditioning" in values and args.prompt is not None:
        values["conditioning"] = {**(values["conditioning"] or {}), "prompt": args.prompt}
    for name, option in ((name, OPTIONS[name]) for name in values):
        parts: list[Any] = getattr(args, option.single.replace("-", "_"), None) or [] if option.single else []
        parts = parts + (values[name] or [] if option.repeated else [])
        keys = [key for part in parts for key in part]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise UsageError(name, f'"{twice}" twice', "each key once")
        whole: dict[str, Any] = (values[name] if option.single else None) or {}  # of a flag that takes JSON
        values[name] = whole | {key: value for part in parts for key, value in part.items()} if parts else values[name]
    return {name: value for name, value in values.items() if value is not None}


def check_at_least_one(args: argparse.Namespace, *names: str) -> None:
    """UsageError for a flag below 1; None stands for a default."""
    for name in names:
        if (value := getattr(args, name)) is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')}", value, "1 or more")


def _json(path: str) -> dict[str, Any]:
    from snac_plugin.config.read_json import load_json  # only now: pydantic takes longer than all else that flags need

    return load_json(path)


def _dataset(path: str) -> None:
    from snac_plugin.config import check_dataset_config

    check_dataset_config(_json(path), path)


def _checkpoint(path: str) -> None:
    from snac_plugin.checkpoints.config_inside import check_at_a_glance

    check_at_a_glance(path)


PATHS: dict[str, Callable[[str], Any]] = {
    "ckpt": _checkpoint,
    "ckpt_path": _checkpoint,
    "pretrained_ckpt_path": _checkpoint,
    "model_config": _json,
    "dataset_config": _dataset,
    "val_dataset_config": _dataset,
    "codec": codecs.check_name,
    "settings": _json,
}
"""What a flag must name, by the flag's name in Python."""


def check_paths(args: argparse.Namespace, *but: str) -> None:
    """The error of each reader for what flags name and is not there, or is no such file: none of it needs torch."""
    for name, check in PATHS.items():
        if name not in but and (value := getattr(args, name, None)):
            check(value)
    for place in getattr(args, "lora", None) or ():
        locate_adapter(adapter_in(place)[0])
    for place in getattr(args, "average", ()):
        _checkpoint(place)
    if getattr(args, "autoguidance", None):
        _checkpoint(weaker_in(args.autoguidance)[0])


def model_at_once(checkpoint: str, model_config: str | None) -> tuple[Any, Levels] | None:
    """The checked config of a model and its codec's levels, where both can be read without torch."""
    from snac_plugin.checkpoints.config_inside import config_at_once
    from snac_plugin.config import check_model_config

    raw = config_at_once(checkpoint, model_config)
    if raw is not None and (kind := raw.get("model_type", MODEL_TYPE)) != MODEL_TYPE:
        advice = "Of a codec in training, export_codec makes a codec, which evaluate.py --codec measures." * (kind == "autoencoder")
        raise CheckpointError(str(model_config or checkpoint), f"a model of type {kind}", f"one of type {MODEL_TYPE}", advice)
    config = None if raw is None else check_model_config(raw)
    folder = None if config is None else codecs.check_name(config.model.pretransform.config.codec)
    contents = None if folder is None else codecs.read_contents(folder / "config.json")
    try:
        return None if config is None or contents is None else (config, Levels.from_snac_config(contents))
    except (KeyError, TypeError, Mismatch):  # told of in full where the codec is loaded
        return None


def check_at_once(checkpoint: str, model_config: str | None) -> Callable[[Request], object]:
    """A check of requests, as `check_request`, for a config and a codec that can be read without torch; of others no check."""
    from snac_plugin.generation.settings import check_request

    found = model_at_once(checkpoint, model_config)
    return (lambda request: None) if found is None else partial(check_request, config=found[0], names=found[1].names)


def check_before_loading(request: Request, checkpoint: Any, model_config: str | None, complete: bool = True) -> Any:
    """Check a request, as `check_request`, against the config of a `Checkpoint` before its model is built; its codec's levels."""
    from snac_plugin.codec.load import read_config
    from snac_plugin.codec.places import locate
    from snac_plugin.config import check_model_config
    from snac_plugin.generation.settings import check_request

    config = check_model_config(checkpoint.config_for(model_config))
    levels = Levels.from_snac_config(read_config(locate(config.model.pretransform.config.codec)[0]))
    check_request(request, config, levels.names, complete)
    return levels


def _reader(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser of text whose errors argparse shows in full."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(f"found {error.found}, expected {error.expected}") from None

    read.__name__ = parse.__name__  # argparse names it where a number cannot be read
    return read
