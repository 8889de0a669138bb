"""Flags that choose demo music, and the dataset config of the music they choose."""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snac_plugin.data.demo_music import SPLITS

FOLDER = Path("demo_music")


@dataclass(frozen=True)
class Kind:
    """What all songs have in common: styles that take turns, tempo in beats a minute, key as "A minor"; None leaves it open."""

    styles: tuple[str, ...] | None = None
    tempo: int | None = None
    key: str | None = None

    @property
    def words(self) -> list[str]:
        """The kind in the name of a folder."""
        return [*(self.styles or ()), *_named({"{}_bpm": self.tempo, "{}": self.key})]


@dataclass(frozen=True)
class DemoSongs:
    songs: int | None = None  # how many; by default 240, or 16 held out
    seconds: float | None = None  # length of each; a minute by default
    kind: Kind = Kind()
    seed: int = 0  # other seeds give other songs

    @property
    def folder(self) -> Path:
        """Where they lie: `demo_music`, or a folder in it that is named after the choice, as `16_songs_house_techno_seed_1`."""
        length = _named({"{}_songs": self.songs, "{:g}_seconds": self.seconds})
        return FOLDER / "_".join([*length, *self.kind.words, *_named({"seed_{}": self.seed or None})]).replace(" ", "_")

    def dataset(self, split: str, sample_rate: int) -> dict[str, Any]:
        """The dataset config of a split, rendered now if need be; see `render_demo_music` for errors."""
        from snac_plugin.data.demo_music import metadata, render_demo_music

        folder = render_demo_music(
            self.folder / split,
            songs={"train": 240, "held_out": 16}[split] if self.songs is None else self.songs,
            seconds=60.0 if self.seconds is None else self.seconds,
            seed=self.seed,
            sample_rate=sample_rate,
            split=split,
            **asdict(self.kind),
        )
        module = str(Path(str(metadata.__file__)).resolve())
        datasets = [{"id": f"demo_music_{split}", "path": str(folder), "custom_metadata_module": module}]
        return {"dataset_type": "audio_dir", "datasets": datasets, "random_crop": split == SPLITS[0]}


def _named(patterns: dict[str, object]) -> list[str]:
    """Each pattern with its value in it, where there is one."""
    return [pattern.format(value) for pattern, value in patterns.items() if value is not None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that choose demo music."""
    group = parser.add_argument_group("demo music, which is rendered without --dataset-config")
    group.add_argument("--songs", type=int, metavar="N", help="songs, in place of 240, or of 16 held out")
    group.add_argument("--song-seconds", type=float, metavar="S", help="length of each, from 1 up, in place of 60")
    add_kind_arguments(group)
    group.add_argument("--split", choices=SPLITS, default=SPLITS[0], help="songs for training, or held out of it")


def add_kind_arguments(parser: argparse._ActionsContainer, default: Kind = Kind()) -> None:
    """Flags that choose a kind of demo music."""
    text = f"styles that take turns, as house techno; {' '.join(default.styles or ['all'])} by default"
    parser.add_argument("--styles", nargs="+", default=default.styles, metavar="NAME", help=text)
    text = f"beats a minute of these songs, 40 to 240; {default.tempo or 'their own'} by default"
    parser.add_argument("--tempo", type=int, default=default.tempo, metavar="N", help=text)
    text = f'key of these songs, as "A minor" or "F# dorian"; {default.key or "each its own"} by default'
    parser.add_argument("--key", default=default.key, metavar="KEY", help=text)


def kind_from(args: argparse.Namespace) -> Kind:
    return Kind(tuple(args.styles) if args.styles else None, args.tempo, args.key)


def songs_from(args: argparse.Namespace) -> DemoSongs:
    return DemoSongs(args.songs, args.song_seconds, kind_from(args))


def demo_flags(args: argparse.Namespace) -> list[str]:
    """The flags of `add_arguments` that differ from their defaults, as "--songs"."""
    defaults = {"songs": None, "song_seconds": None, "styles": None, "tempo": None, "key": None, "split": SPLITS[0]}
    return [f"--{name.replace('_', '-')}" for name, default in defaults.items() if getattr(args, name) != default]
