"""The folder of a training run, and the checkpoint in it from which a run is resumed."""

import argparse
import logging
import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from snac_plugin.checkpoints.places import AVERAGES, snapshots_in
from snac_plugin.errors import CheckpointError, UsageError
from snac_plugin.files import check_folder, damage
from snac_plugin.wording import counted

log = logging.getLogger(__name__)


def run_name(args: argparse.Namespace) -> str:
    return args.name or Path(args.model_config).stem


def run_folder(args: argparse.Namespace) -> Path:
    """The folder that --save-dir names, or runs/NAME; it need not exist. UsageError: it cannot be written to."""
    folder = _place(args)
    check_folder("--save-dir", folder)
    return folder


def _place(args: argparse.Namespace) -> Path:
    return Path(args.save_dir) if args.save_dir else Path("runs") / run_name(args)


def checkpoint_to_resume(args: argparse.Namespace, folder: Path) -> Path | None:
    """The checkpoint that --ckpt-path or --recover names; None for a new run. Runs must not mix in one folder."""
    if args.ckpt_path and not os.path.exists(args.ckpt_path):
        raise UsageError("--ckpt-path", f"no file {args.ckpt_path}", "a training checkpoint", "They lie under --save-dir.")
    checkpoints = checkpoints_in(folder / "checkpoints")
    newest = newest_whole(checkpoints) if args.recover or args.ckpt_path else next(iter(checkpoints), None)
    if checkpoints and newest is None and not args.ckpt_path:
        found = f"{counted(len(checkpoints), 'checkpoint')}, none of which is whole"
        advice = f"Remove {folder / 'checkpoints'} to start anew."
        raise CheckpointError(str(folder), found, "a training checkpoint", advice)
    chosen = Path(args.ckpt_path) if args.ckpt_path else newest if args.recover else None
    if newest is not None and (chosen is None or chosen.resolve() != newest.resolve()):
        advice = f"Name another --save-dir, go on from {newest.name} with --recover, or remove {newest.parent}."
        raise UsageError("--save-dir", f"{folder} with checkpoints of an earlier run", "a folder of its own", advice)
    if not checkpoints and snapshots_in(folder / AVERAGES):  # of which `ema` would make a model together with those to come
        found = f"{folder} with averages of an earlier run and no checkpoints"
        raise UsageError("--save-dir", found, "a folder of its own", f"Name another --save-dir, or remove {folder / AVERAGES}.")
    if args.recover:
        log.info("Going on from %s", chosen) if chosen else log.info("Nothing to go on from in %s: starting", folder)
    return chosen


def flags_to_go_on(args: argparse.Namespace) -> str:
    """What a command that has left checkpoints lacks to go on from them, or nothing; its disk may take no more files."""
    newest = next(iter(checkpoints_in(_place(args) / "checkpoints")), None)
    if newest is None or (Path(args.ckpt_path).resolve() == newest.resolve() if args.ckpt_path else args.recover):
        return ""
    return "with --recover in place of --ckpt-path" if args.ckpt_path else "with --recover"


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints in a folder, that of the highest step first; of those of one step, the one written last."""
    steps = {path: re.match(r"step=(\d+)", path.name) for path in folder.glob("step=*.ckpt")}
    ages = {path: (int(step[1]), path.stat().st_mtime_ns) for path, step in steps.items() if step is not None}
    return sorted(ages, key=lambda path: ages[path], reverse=True)


def newest_whole(checkpoints: Iterable[Path]) -> Path | None:
    """The first whole file of some; those before it are named."""
    for path in checkpoints:
        if fault := damage(path) or ("" if zipfile.is_zipfile(path) else "no checkpoint of a training"):
            log.warning("Left out %s: %s", path, fault)
        else:
            return path
    return None
