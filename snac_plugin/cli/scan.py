"""Read every audio file of a dataset once, say what is in it, and write the list of files to train on.

    python -m snac_plugin scan my_music
    python train.py --model-config model_configs/snac_dit.json --dataset-config scan/dataset_config.json

Writes report.md, which is printed; files.json, with rate, length, loudness, bandwidth and digest of each file, and why others are
left out; and dataset_config.json, which trains on the listed files alone, and only as long as they are there and as they were.
"""

import json
import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.cli.arguments import check_at_least_one
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.stopping import as_by_ctrl_c, exit_status
from snac_plugin.errors import AudioError, ConfigError, UsageError
from snac_plugin.files import make_folder, write_whole
from snac_plugin.wording import counted


def parser() -> CommandParser:
    made = CommandParser("scan", description=__doc__)
    made.add_argument("dataset", help="a folder of audio, or an audio_dir dataset config")
    made.add_argument("--out", default="scan", metavar="FOLDER", help="where to write (%(default)s)")
    made.add_argument(
        "--sample-rate", type=int, default=32000, metavar="HZ", help="the model's; rates that cannot become it are left out"
    )
    made.add_argument("--workers", type=int, default=1, metavar="N", help="processes that read (%(default)s)")
    made.add_argument("--keep-duplicates", action="store_true", help="list files with the same samples, too")
    return made


def main(argv: Sequence[str]) -> int:
    """Scan, print the report and where its files lie."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR)  # the report says what the scan would log
    check_at_least_one(args, "workers", "sample_rate")
    config = _dataset(args.dataset)
    folder = make_folder("--out", args.out)

    from snac_plugin.data.collection import measure_dataset, report
    from snac_plugin.data.file_list import write_list

    try:
        with as_by_ctrl_c():
            found = measure_dataset(config, args.sample_rate, workers=args.workers, keep_duplicates=args.keep_duplicates)
    except KeyboardInterrupt as stopped:
        print("stopped; nothing was written")
        return exit_status(stopped)
    text = report(found)
    print(text)
    write_whole(folder / "report.md", text)
    listed = write_list(folder / "files.json", found.files, found.rejected)
    if not found.files:
        raise AudioError(
            args.dataset,
            f"{counted(len(found.rejected), 'file')}, none of which can be used",
            "audio",
            f"{listed} has each reason.",
        )
    config = {**config, "files": os.path.abspath(listed)}
    made = write_whole(folder / "dataset_config.json", json.dumps(config, indent=2) + "\n")
    train = ["python", "train.py", "--model-config", "model_configs/snac_dit.json", "--dataset-config", str(made)]
    print(f"list: {listed}\ndataset config: {made}\ntrain with: {shlex.join(train)}")
    return 0


def _dataset(name: str) -> dict[str, Any]:
    """The dataset config that is named, or that of a folder."""
    from snac_plugin.config import check_dataset_config, load_json

    if os.path.isdir(name):
        entry = {"id": Path(name).resolve().name, "path": os.path.abspath(name)}
        return check_dataset_config({"dataset_type": "audio_dir", "datasets": [entry], "random_crop": True}, name)
    if not Path(name).suffix:
        raise UsageError("dataset", f"{name}, which is not there", "a folder of audio, or a dataset config")
    config = load_json(name)
    config.pop("files", None)  # of an earlier scan
    config = check_dataset_config(config, name)
    if config["dataset_type"] != "audio_dir":
        raise ConfigError(f"{name}: dataset_type", repr(config["dataset_type"]), '"audio_dir": audio files in folders')
    return config
