"""Write a folder of demo music: one FLAC file and one JSON file a song."""

import importlib.util
import io
import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from ...errors import InstallationError, UsageError
from ...files import check_folder, make_folder, read_json_object, write_whole
from . import SPLITS
from .compose import compose
from .mix import render_song
from .sampler import Sampler
from .soundfont import SoundFont
from .styles import STYLES, Style
from .theory import KEYS, MODES, NOTE_NAMES
from .variation import draw_variation

VERSION = 1  # of the composer and the sound: other versions sound different
RECORD = "demo_music.json"  # the settings a folder was made with

logger = logging.getLogger(__name__)


def render_demo_music(
    folder: str | Path,
    *,
    songs: int = 64,
    seconds: float = 60.0,
    seed: int = 0,
    sample_rate: int = 32000,
    split: str = "train",
    styles: Sequence[str] | None = None,
    tempo: int | None = None,
    key: str | None = None,
    varied: bool = False,
    progress: bool = True,
) -> Path:
    """Render songs into `folder` and return it. The same arguments give the same files, byte for byte.

    A finished folder with the same settings is used as it is; one that was left half-finished is finished.

    Args:
        songs: how many; song i is the same whatever their number.
        seconds: length of each, 1 or more.
        sample_rate: in Hz, 16,000 or more.
        split: "train" or "held_out"; their songs never share a seed.
        styles: names of the styles that take turns; all by default.
        tempo: beats a minute of every song, 40 to 240; drawn from the style's range by default.
        key: that of every song, as "A minor"; drawn from all tonics and the style's modes by default.
        varied: each song with a balance of parts, a spectral tilt, a noise floor and a loudness of its own (`draw_variation`).

    Raises:
        UsageError: an argument is out of range, or the folder holds something else.
        InstallationError: pretty_midi, which carries the SoundFont, is missing.
    """
    folder = Path(folder)
    settings = {
        "version": VERSION, "songs": songs, "seconds": float(seconds), "seed": seed, "sample_rate": sample_rate, "split": split,
    }  # fmt: skip
    settings |= {"styles": styles if isinstance(styles, str) else list(styles)} if styles is not None else {}
    settings |= {"tempo": tempo} if tempo is not None else {}
    settings |= {"key": key} if key is not None else {}
    settings |= {"varied": True} if varied else {}
    chosen = _check(settings)
    missing = _missing_songs(folder, settings)
    if not missing:
        logger.info("Using the %d songs in %s", songs, folder)
        return folder
    check_folder("folder", folder)
    sampler = Sampler(SoundFont(find_soundfont()), sample_rate)
    make_folder("folder", folder)
    write_whole(folder / RECORD, json.dumps(settings, indent=1))
    for index in tqdm(missing, desc="Rendering demo music", unit="song", disable=not progress):
        name = f"{seed}/{split}/{index}"
        song = compose(name, seconds, chosen[index % len(chosen)], tempo, KEYS[key] if key else None)
        audio, mix = io.BytesIO(), render_song(song, sampler, draw_variation(name) if varied else None)
        soundfile.write(audio, mix, sample_rate, format="FLAC", subtype="PCM_16")
        metadata = {**song.describe(), "seconds": float(seconds), "sample_rate": sample_rate}
        write_whole(folder / f"{_name(split, index)}.flac", audio.getvalue())
        write_whole(folder / f"{_name(split, index)}.json", json.dumps(metadata, indent=1))
    return folder


def find_soundfont() -> Path:
    """The General MIDI SoundFont (TimGM6mb) that the pretty_midi package carries."""
    package = importlib.util.find_spec("pretty_midi")  # found without importing it
    if package is None or package.origin is None:
        advice = "Run: pip install snac_plugin[demo]"
        raise InstallationError("demo music", "no package pretty_midi", "pretty_midi, for its SoundFont", advice)
    return Path(package.origin).with_name("TimGM6mb.sf2")


def _check(settings: dict[str, Any]) -> list[Style]:
    """The styles that take turns, or a UsageError."""
    for name, least in (("songs", 1), ("seconds", 1), ("sample_rate", 16000)):
        if not least <= settings[name] < math.inf:
            raise UsageError(name, settings[name], f"{least} or more")
    if settings["split"] not in SPLITS:
        raise UsageError("split", repr(settings["split"]), " or ".join(SPLITS))
    if not 40 <= settings.get("tempo", 120) <= 240:
        raise UsageError("tempo", settings["tempo"], "40 to 240 beats a minute")
    if settings.get("key", "A minor") not in KEYS:
        expected = f"a tonic ({', '.join(NOTE_NAMES)}) and a mode ({', '.join(MODES)})"
        raise UsageError("key", repr(settings["key"]), expected, 'As "A minor".')
    known = {style.name: style for style in STYLES}
    names = settings.get("styles", list(known))
    if isinstance(names, str):
        raise UsageError("styles", repr(names), "a list of names", f"For one style: [{names!r}]")
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UsageError("styles", ", ".join(unknown) or "none", f"one or more of {', '.join(known)}")
    return [known[name] for name in names]


def _name(split: str, index: int) -> str:
    return f"{split}_{index:05d}"


def _missing_songs(folder: Path, settings: dict[str, Any]) -> list[int]:
    """Indices of the songs that the folder lacks; a UsageError where it was not made with these settings."""
    advice = "Name another folder, or remove this one."
    if not os.path.isdir(folder):
        check_folder("folder", folder)
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()
    if names:
        recorded = read_json_object(folder / RECORD)
        if recorded is None:
            raise UsageError(str(folder), f"files that are not demo music ({min(names)})", "an empty folder or demo music", advice)
        different = [name for name in dict.fromkeys([*settings, *recorded]) if recorded.get(name) != settings.get(name)]
        if different:
            changes = ", ".join(f"{name} {recorded.get(name)!r} instead of {settings.get(name)!r}" for name in different)
            raise UsageError(str(folder), f"demo music with {changes}", "demo music with the settings asked for", advice)
    wanted = [(index, _name(settings["split"], index)) for index in range(settings["songs"])]
    return [index for index, name in wanted if not {f"{name}.flac", f"{name}.json"} <= names]
