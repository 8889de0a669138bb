"""Check a dataset config, in stable-audio-tools' format, before its data loader reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from snac_plugin.config.error_messages import Problem, config_error, did_you_mean, problems_of, show
from snac_plugin.config.section import AtLeastOne, Positive, Section

AUDIO_ENDINGS = (".wav", ".mp3", ".flac", ".ogg", ".aif", ".opus")
"""What stable-audio-tools' SampleDataset looks for in a folder."""

Pair = Annotated[tuple[float, float], Field(strict=False)]


class FolderSource(Section):
    """A folder, searched with all its sub-folders."""

    id: str = Field(description="a name for the source")
    path: str = Field(min_length=1, description="the folder")
    custom_metadata_module: str | None = Field(default=None, description="Python file with get_custom_metadata(info, audio)")


class ShardSource(Section):
    """Tar files in the WebDataset format, in a folder or in an S3 bucket."""

    id: str = Field(description="a name for the source")
    s3_path: str | None = Field(default=None, description="s3:// address of a prefix")
    path: str | None = Field(default=None, description="folder")
    profile: str | None = Field(default=None, description="AWS profile")
    custom_metadata_module: str | None = Field(default=None, description="Python file with get_custom_metadata(info, audio)")


class AudioFolders(Section):
    """Audio files in folders."""

    dataset_type: Literal["audio_dir"]
    datasets: tuple[FolderSource, ...] = Field(strict=False, min_length=1, description="the folders")
    random_crop: bool = True
    drop_last: bool = True


class PreEncodedFolders(Section):
    """Latents that were encoded before."""

    dataset_type: Literal["pre_encoded"]
    datasets: tuple[FolderSource, ...] = Field(strict=False, min_length=1, description="the folders")
    random_crop: bool = False
    drop_last: bool = True
    latent_crop_length: AtLeastOne | None = Field(default=None, description="frames in a crop")
    min_length_sec: Positive | None = None
    max_length_sec: Positive | None = None
    latent_extension: str = "npy"


class Shards(Section):
    """WebDataset shards."""

    dataset_type: Literal["s3", "wds"]
    datasets: tuple[ShardSource, ...] = Field(strict=False, min_length=1, description="the shards")
    random_crop: bool = True
    remove_silence: bool = False
    silence_threshold: Pair = (0.01, 0.5)
    max_silence_duration: float = 0.25
    volume_norm: bool = False
    volume_norm_param: Pair = (-16.0, 2.0)
    epoch_steps: AtLeastOne = 2000
    pre_encoded: bool = False
    latent_crop_length: AtLeastOne | None = None
    resampled_shards: bool = True


SECTIONS: dict[str, type[AudioFolders] | type[PreEncodedFolders] | type[Shards]] = {
    "audio_dir": AudioFolders,
    "pre_encoded": PreEncodedFolders,
    "s3": Shards,
    "wds": Shards,
}


def check_dataset_config(config: Mapping[str, Any], source: str = "dataset config", check_paths: bool = True) -> dict[str, Any]:
    """A dataset config that stable-audio-tools' data loader will take, returned as the plain dict it came as.

    Args:
        config: what the JSON holds.
        source: where it was read from, for the message.
        check_paths: also look whether folders and files exist and hold something to load.

    Raises:
        ConfigError: with every problem: JSON path, what was found, what was expected, the nearest known key.
    """
    data = dict(config)
    kind = data.get("dataset_type")
    if not isinstance(kind, str) or kind not in SECTIONS:
        found = show(kind) if "dataset_type" in data else "nothing"
        expected = f"one of: {', '.join(SECTIONS)}"
        raise config_error([Problem("dataset_type", found, expected, did_you_mean(kind, SECTIONS))], source)
    try:
        checked = SECTIONS[kind].model_validate(data)
    except ValidationError as error:
        raise config_error(problems_of(error, SECTIONS[kind], data), source) from None
    problems = list(_shard_problems(checked)) if isinstance(checked, Shards) else []
    if check_paths:
        problems += _path_problems(checked)
    if problems:
        raise config_error(problems, source)
    return data


def _shard_problems(config: Shards) -> Iterator[Problem]:
    for index, entry in enumerate(config.datasets):
        where = f"datasets[{index}]"
        if (entry.path is None) == (entry.s3_path is None):
            found = "neither path nor s3_path" if entry.path is None else "both path and s3_path"
            yield Problem(where, found, "one of path and s3_path")
        elif entry.s3_path is not None and not entry.s3_path.startswith("s3://"):
            yield Problem(f"{where}.s3_path", show(entry.s3_path), "an address that starts with s3://", "A folder goes under path.")


def _path_problems(config: AudioFolders | PreEncodedFolders | Shards) -> Iterator[Problem]:
    endings: tuple[str, ...] = AUDIO_ENDINGS
    if isinstance(config, PreEncodedFolders):
        endings = (f".{config.latent_extension}",)
    elif isinstance(config, Shards):
        endings = (".tar",)
    sources: tuple[FolderSource | ShardSource, ...] = config.datasets
    for index, entry in enumerate(sources):
        where = f"datasets[{index}]"
        if entry.path is not None:
            listed = (
                isinstance(config, PreEncodedFolders) and Path(entry.path, "filelist.txt").is_file()
            )  # read in place of a search
            yield from _folder_problem(f"{where}.path", entry.path, () if listed else endings)
        module = entry.custom_metadata_module
        if module is not None and not Path(module).is_file():
            yield Problem(f"{where}.custom_metadata_module", show(module), "a Python file that exists", _from_here(module))


def _folder_problem(where: str, path: str, endings: tuple[str, ...]) -> Iterator[Problem]:
    if not Path(path).is_dir():
        what = "a file" if Path(path).is_file() else "no such folder"
        yield Problem(where, f"{show(path)} ({what})", "a folder that exists", _from_here(path))
    elif endings and not _holds(path, endings):
        yield Problem(where, f"{show(path)}, a folder without a file to load", f"files ending in {', '.join(endings)}")


def _from_here(path: str) -> str:
    return "" if Path(path).is_absolute() else f"A relative path starts at the working directory, {Path.cwd()}."


def _holds(folder: str, endings: tuple[str, ...]) -> bool:
    """Whether the folder or one below it holds such a file, hidden ones aside; stops at the first."""
    files = (name for _, _, names in os.walk(folder, followlinks=True) for name in names)
    return any(name.lower().endswith(endings) and not name.startswith(".") for name in files)
