"""The settings of an earlier sample, its JSON file, which stand under what flags say. Imports nothing heavy."""

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.errors import UsageError
from snac_plugin.files import digest_of
from snac_plugin.generation.batch import check_batch
from snac_plugin.generation.request import options_in, writing_in
from snac_plugin.generation.settings_form import check_kinds, without_nulls


def settings_in(args: argparse.Namespace) -> dict[str, Any]:
    """The content of the file; {} where none is named. UsageError: it is no settings, or one of them is of another kind."""
    if args.settings is None:
        return {}
    from snac_plugin.config.read_json import load_json

    settings = without_nulls(load_json(args.settings))
    if "seed" not in settings:
        raise UsageError("--settings", f"{args.settings}, which names no seed", "the JSON file beside an earlier sample")
    check_kinds(settings, "--settings: ")
    return settings


def earlier_options(args: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What settings say of how a sample was made; in `args` its checkpoint, adapters and batch too, where no others are named."""
    if not settings:
        return {}
    _check_recordings(args, settings)
    if args.lora is None:
        args.lora = _as_flags(settings.get("lora", {}))
    if args.autoguidance is None:
        args.autoguidance = next(iter(_as_flags(settings.get("autoguidance", {}))), None)
    if args.ckpt == DEFAULT:
        args.ckpt = settings.get("checkpoint") or DEFAULT
    options = options_in(settings) | writing_in(settings)
    size = options.pop("batch_size", None)
    if args.seed == -1 and args.prompts is None:
        again = f"--seed with the seed of the first beside it, and --batch-size {settings.get('batch_size')}: all of them again"
        check_batch(settings, "--settings", again)
        args.batch_size = args.batch_size or size
    return options


def _as_flags(by_file: Mapping[str, float]) -> list[str]:
    """Files with the number of each, as --lora and --autoguidance have them."""
    return [f"{file}:{float(number)!r}" for file, number in by_file.items()]


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
