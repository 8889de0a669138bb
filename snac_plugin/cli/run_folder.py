"""The folder of a training run, and the checkpoint in it from which a run is resumed."""

import argparse
import logging
import zipfile
from pathlib import Path

from snac_plugin.errors import CheckpointError, UsageError
from snac_plugin.files import check_folder

log = logging.getLogger(__name__)


def run_name(args: argparse.Namespace) -> str:
    return args.name or Path(args.model_config).stem


def run_folder(args: argparse.Namespace) -> Path:
    """The folder that --save-dir names, or runs/NAME; it need not exist."""
    folder = Path(args.save_dir) if args.save_dir else Path("runs") / run_name(args)
    check_folder("--save-dir", folder)
    return folder


def checkpoint_to_resume(args: argparse.Namespace, folder: Path) -> Path | None:
    """The checkpoint that --ckpt-path or --recover names; None for a new run. Runs must not mix in one folder."""
    newest = newest_checkpoint(folder / "checkpoints")
    if args.recover and not args.ckpt_path and newest is not None and not zipfile.is_zipfile(newest):
        advice = "Remove it: --recover then goes on from the one before."
        raise CheckpointError(str(newest), "a file that is not whole", "a training checkpoint", advice)
    if args.ckpt_path and not Path(args.ckpt_path).exists():
        raise UsageError("--ckpt-path", f"no file {args.ckpt_path}", "a training checkpoint", "They lie under --save-dir.")
    chosen = Path(args.ckpt_path) if args.ckpt_path else newest if args.recover else None
    if newest is not None and (chosen is None or chosen.resolve() != newest.resolve()):
        advice = f"Name another --save-dir, go on from {newest.name} with --recover, or remove {newest.parent}."
        raise UsageError("--save-dir", f"{folder} with checkpoints of an earlier run", "a folder of its own", advice)
    if args.recover:
        log.info("Going on from %s", chosen) if chosen else log.info("Nothing to go on from in %s: starting", folder)
    return chosen


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step in a folder, the one written last if there are several of that step; or None."""

    def age(path: Path) -> tuple[int, int]:
        return int(path.stem.removeprefix("step=").split("-")[0]), path.stat().st_mtime_ns

    return max(folder.glob("step=*.ckpt"), key=age, default=None)
