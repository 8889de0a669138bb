"""Which demo music a command means, and its dataset config."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snac_plugin.data.demo_music import SPLITS, render_demo_music
from snac_plugin.data.demo_music import metadata as demo_metadata

FOLDER = Path("demo_music")
SONGS = {"train": 240, "held_out": 16}
SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """What songs have in common; by default nothing.

    Args:
        styles: names of the styles that take turns.
        tempo: beats a minute of all of them.
        key: key of all of them, as "A minor".
    """

    styles: tuple[str, ...] | None = None
    tempo: int | None = None
    key: str | None = None

    @property
    def words(self) -> list[str]:
        """What it is called in the name of a folder."""
        tempo = [] if self.tempo is None else [f"{self.tempo}_bpm"]
        return [*(self.styles or ()), *tempo, *([] if self.key is None else [self.key])]


@dataclass(frozen=True)
class DemoSongs:
    """Songs of demo music.

    Args:
        songs: how many; by default 240, or 16 held out.
        seconds: length of each; a minute by default.
        kind: what they have in common.
        seed: other seeds give other songs.
    """

    songs: int | None = None
    seconds: float | None = None
    kind: Kind = Kind()
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where they lie: `demo_music`, or what was asked for in it, as `demo_music/16_songs_house_techno_seed_1`."""
        named = [
            *([] if self.songs is None else [f"{self.songs}_songs"]),
            *([] if self.seconds is None else [f"{self.seconds:g}_seconds"]),
            *self.kind.words,
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
            **asdict(self.kind),
        )
        module = str(Path(str(demo_metadata.__file__)).resolve())
        datasets = [{"id": f"demo_music_{split}", "path": str(where), "custom_metadata_module": module}]
        return {"dataset_type": "audio_dir", "datasets": datasets, "random_crop": split == SPLITS[0]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that choose demo music."""
    group = parser.add_argument_group("demo music, which is rendered without --dataset-config")
    group.add_argument("--songs", type=int, metavar="N", help="songs, in place of 240, or of 16 held out")
    group.add_argument("--song-seconds", type=float, metavar="S", help="length of each, from 1 up, in place of 60")
    add_kind_arguments(group)
    group.add_argument("--split", choices=SPLITS, default=SPLITS[0], help="songs for training, or held out of it")


def add_kind_arguments(parser: argparse._ActionsContainer) -> None:
    """Arguments that choose a kind of demo music."""
    parser.add_argument("--styles", nargs="+", metavar="NAME", help="styles that take turns, as house techno; all by default")
    parser.add_argument("--tempo", type=int, metavar="N", help="beats a minute of these songs, 40 to 240; by default their own")
    parser.add_argument("--key", metavar="KEY", help='key of these songs, as "A minor" or "F# dorian"; each has its own by default')


def kind_from(args: argparse.Namespace) -> Kind:
    """What the arguments of `add_kind_arguments` choose."""
    return Kind(tuple(args.styles) if args.styles else None, args.tempo, args.key)


def from_arguments(args: argparse.Namespace) -> DemoSongs:
    """What the arguments of `add_arguments` choose."""
    return DemoSongs(args.songs, args.song_seconds, kind_from(args))


def given(args: argparse.Namespace) -> list[str]:
    """Which of the arguments of `add_arguments` are there."""
    flags = ("songs", "song_seconds", "styles", "tempo", "key")
    found = [f"--{flag.replace('_', '-')}" for flag in flags if getattr(args, flag) is not None]
    return found + (["--split"] if args.split != SPLITS[0] else [])
