"""The settings of an earlier sample, its JSON file, which stand under what flags say. Imports nothing heavy."""

import argparse
import contextlib
import operator
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.errors import UsageError
from snac_plugin.files import digest_of
from snac_plugin.generation.batch import PER_SAMPLE, check_batch
from snac_plugin.generation.request import OPTIONS, options_in, writing_in
from snac_plugin.generation.wrong_values import FORM, naming_wrong_values


def settings_in(args: argparse.Namespace) -> dict[str, Any]:
    """The content of the file; {} where none is named."""
    if args.settings is None:
        return {}
    from snac_plugin.config.read_json import load_json

    settings = load_json(args.settings)
    if settings.get("seed") is None:
        raise UsageError("--settings", f"{args.settings}, which names no seed", "the JSON file beside an earlier sample")
    return settings


def earlier_options(args: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What settings say of how a sample was made; in `args` its checkpoint, adapters and batch too, where no others are named."""
    if not settings:
        return {}
    earlier = naming_wrong_values(_read, settings, "--settings", f"{FORM}, which {args.settings} is not")
    _check_recordings(args, settings)
    args.lora = earlier.lora if args.lora is None else args.lora
    args.autoguidance = earlier.autoguidance if args.autoguidance is None else args.autoguidance
    args.ckpt = earlier.ckpt if args.ckpt == DEFAULT else args.ckpt
    options = earlier.options
    size = options.pop("batch_size", None)
    if args.seed == -1 and args.prompts is None:
        again = f"--seed with the seed of the first beside it, and --batch-size {settings.get('batch_size')}: all of them again"
        check_batch(settings, "--settings", again)
        args.batch_size = args.batch_size or size
    return options


class _Earlier(NamedTuple):
    options: dict[str, Any]
    lora: list[str]  # this and the next two as flags have them
    autoguidance: str | None
    ckpt: str


def _read(settings: Mapping[str, Any]) -> _Earlier:
    """What settings say. Values of other kinds raise what `naming_wrong_values` looks for."""
    for number in ("seed", "batch_seed", "batch_size"):
        operator.index(settings.get(number, 0))
    for file in [*_recordings(settings), *([settings["continues"]["file"]] if "continues" in settings else ())]:
        os.fspath(file)
    iter(settings.get("digests") or ())
    for name in (name for name in PER_SAMPLE if settings.get(name) is not None):
        OPTIONS[name].check(name, settings[name])  # flags go over it before a request checks it
    lora = [f"{place}:{float(strength)!r}" for place, strength in settings.get("lora", {}).items()]
    weaker = next((f"{place}:{float(scale)!r}" for place, scale in settings.get("autoguidance", {}).items()), None)
    return _Earlier(options_in(settings) | writing_in(settings), lora, weaker, os.fspath(settings.get("checkpoint") or DEFAULT))


def _check_recordings(args: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    """UsageError for recordings that are not here and that no flag names."""
    if "continues" in settings and args.context is None:
        file = settings["continues"]["file"]
        raise UsageError("--settings", f"a sample that continues {file}", f"--continue beside it, with {file}")
    for name in ("edit", "before", "bridge"):
        files = [settings.get(name)] if name != "bridge" else settings.get(name) or []
        missing = [file for file in files if file is not None and not os.path.isfile(file)]
        if missing and getattr(args, name) is None:  # the page names recordings without their folders
            raise UsageError(
                "--settings", f"a sample of {missing[0]}, which is not here", f"--{name} beside it, with that recording"
            )


def other_recordings(settings: Mapping[str, Any], options: Mapping[str, Any], context: str | None) -> Iterator[str]:
    """Files among what is asked for that are other recordings than those that settings are of.

    Their digests say so, or in settings of earlier versions, which have none, their names.
    """
    continued, digests = settings.get("continues") or {}, settings.get("digests") or []
    noted, given = _recordings(settings), _recordings(options)
    pairs = [(continued.get("file"), continued.get("digest"), context)] if continued else []
    if len(noted) == len(given):
        pairs += zip(noted, digests or [None] * len(noted), given, strict=False)
    for name, digest, file in pairs:
        with contextlib.suppress(OSError):  # a file that cannot be read is told of later
            if not isinstance(file, str) or not os.path.isfile(file):
                continue
            same = digest_of(file).startswith(str(digest)) if digest else Path(file).name == Path(str(name)).name
            if not same:
                yield file


def _recordings(options: Mapping[str, Any]) -> list[Any]:
    return [one for one in (options.get("edit"), options.get("before"), *(options.get("bridge") or ())) if one is not None]
