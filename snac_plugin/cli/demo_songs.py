"""Which demo music a command means, and its dataset config."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snac_plugin.data.demo_music import SPLITS, render_demo_music
from snac_plugin.data.demo_music import metadata as demo_metadata

FOLDER = Path("demo_music")
SONGS = {"train": 240, "held_out": 16}
SECONDS = 60.0


@dataclass(frozen=True)
class DemoSongs:
    """Songs of demo music; what is None is as the composer has it.

    Args:
        songs: how many.
        seconds: length of each.
        styles: names of the styles that take turns.
        tempo: beats a minute of all of them.
        seed: other seeds give other songs.
    """

    songs: int | None = None
    seconds: float | None = None
    styles: tuple[str, ...] | None = None
    tempo: int | None = None
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where they lie: `demo_music`, or what was asked for in it, as `demo_music/16_songs_house_techno_seed_1`."""
        named = [
            *([] if self.songs is None else [f"{self.songs}_songs"]),
            *([] if self.seconds is None else [f"{self.seconds:g}_seconds"]),
            *(self.styles or ()),
            *([] if self.tempo is None else [f"{self.tempo}_bpm"]),
            *([f"seed_{self.seed}"] if self.seed else []),
        ]
        return FOLDER / "_".join(named).replace(" ", "_")

    def dataset(self, split: str, sample_rate: int) -> dict[str, Any]:
        """The dataset config of a split, rendered now if need be.

        Raises:
            ConfigError, AudioError, InstallationError: see `render_demo_music`.
        """
        where = render_demo_music(
            self.folder / split,
            songs=SONGS[split] if self.songs is None else self.songs,
            seconds=SECONDS if self.seconds is None else self.seconds,
            seed=self.seed,
            sample_rate=sample_rate,
            split=split,
            styles=self.styles,
            tempo=self.tempo,
        )
        module = str(Path(str(demo_metadata.__file__)).resolve())
        datasets = [{"id": f"demo_music_{split}", "path": str(where), "custom_metadata_module": module}]
        return {"dataset_type": "audio_dir", "datasets": datasets, "random_crop": split == SPLITS[0]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that choose demo music."""
    group = parser.add_argument_group("demo music, which is rendered without --dataset-config")
    group.add_argument("--songs", type=int, metavar="N", help="songs, in place of 240, or of 16 held out")
    group.add_argument("--song-seconds", type=float, metavar="S", help="length of each, from 1 up, in place of 60")
    group.add_argument("--styles", nargs="+", metavar="NAME", help="styles that take turns, as house techno; all by default")
    group.add_argument("--tempo", type=int, metavar="N", help="beats a minute of all songs, 40 to 240; by default each has its own")
    group.add_argument("--split", choices=SPLITS, default=SPLITS[0], help="songs for training, or held out of it")


def from_arguments(args: argparse.Namespace) -> DemoSongs:
    """What the arguments of `add_arguments` choose."""
    return DemoSongs(args.songs, args.song_seconds, tuple(args.styles) if args.styles else None, args.tempo)


def given(args: argparse.Namespace) -> list[str]:
    """Which of the arguments of `add_arguments` are there."""
    flags = {"--songs": args.songs, "--song-seconds": args.song_seconds, "--styles": args.styles, "--tempo": args.tempo}
    return [flag for flag, value in flags.items() if value is not None] + (["--split"] if args.split != SPLITS[0] else [])
