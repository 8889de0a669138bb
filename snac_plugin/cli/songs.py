"""Render a folder of demo music: a FLAC file and a JSON file a song. The same arguments give the same files.

python -m snac_plugin songs demo_music/varied --songs 480 --seconds 40 --seed 1 --varied
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.demo_songs import add_kind_arguments, kind_from
from snac_plugin.data.demo_music import SPLITS


def parser() -> CommandParser:
    made = CommandParser("songs", description=__doc__)
    made.add_argument("folder", type=Path, help="where to; a folder of other songs is refused")
    made.add_argument("--songs", type=int, default=240, metavar="N", help="how many (%(default)s)")
    made.add_argument("--seconds", type=float, default=60.0, metavar="S", help="length of each (%(default)s)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="other seeds give other songs (%(default)s)")
    made.add_argument("--sample-rate", type=int, default=32000, metavar="HZ", help="%(default)s by default")
    made.add_argument("--split", choices=SPLITS, default=SPLITS[0], help="songs for training, or held out of it")
    made.add_argument("--varied", action="store_true", help="each with a balance, tilt, noise and loudness of its own")
    add_kind_arguments(made)
    return made


def main(argv: Sequence[str]) -> None:
    """Render what the folder lacks, and say where it lies."""
    args = parser().parse_args(argv)
    from snac_plugin.data.demo_music import render_demo_music

    names = ("folder", "songs", "seconds", "seed", "sample_rate", "split", "varied")
    print(f"songs: {render_demo_music(**{name: getattr(args, name) for name in names}, **asdict(kind_from(args)))}")
