"""The keys of a dataset config in stable-audio-tools' format, and its check before a data loader reads it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from snac_plugin.config.section import AtLeastOne, Positive, Section
from snac_plugin.config.validation import Problem, not_one_of, raise_problems, show, validated

AUDIO_ENDINGS = (".wav", ".mp3", ".flac", ".ogg", ".aif", ".opus")
"""What stable-audio-tools' SampleDataset looks for in a folder."""

Pair = Annotated[tuple[float, float], Field(strict=False)]


class Source(Section):
    id: str = Field(description="a name for the source")
    custom_metadata_module: str | None = Field(default=None, description="Python file with get_custom_metadata(info, audio)")


class FolderSource(Source):
    path: str = Field(min_length=1, description="the folder")


class ShardSource(Source):
    s3_path: str | None = Field(default=None, description="s3:// address of a prefix")
    path: str | None = Field(default=None, description="folder")
    profile: str | None = Field(default=None, description="AWS profile")


class Folders(Section):
    datasets: tuple[FolderSource, ...] = Field(strict=False, min_length=1, description="the folders")
    drop_last: bool = Field(default=True, description="leave out a last batch that is not full")


class AudioFolders(Folders):
    dataset_type: Literal["audio_dir"] = Field(description="audio files in folders")
    files: str | None = Field(default=None, description="list that the command scan wrote: train on these files alone")
    random_crop: bool = Field(default=True, description="train on a random part of each file; false: on its beginning")


class PreEncodedFolders(Folders):
    dataset_type: Literal["pre_encoded"] = Field(description="latents in folders")
    random_crop: bool = Field(default=False, description="train on a random part of each file; false: on its beginning")
    latent_crop_length: AtLeastOne | None = Field(default=None, description="frames in a crop")
    min_length_sec: Positive | None = Field(default=None, description="leave out shorter files")
    max_length_sec: Positive | None = Field(default=None, description="leave out longer files")
    latent_extension: str = Field(default="npy", description="ending of the files")


class Shards(Section):
    dataset_type: Literal["s3", "wds"] = Field(description="WebDataset shards")
    datasets: tuple[ShardSource, ...] = Field(strict=False, min_length=1, description="the shards")
    random_crop: bool = Field(default=True, description="train on a random part of each file; false: on its beginning")
    remove_silence: bool = Field(default=False, description="cut silence out")
    silence_threshold: Pair = Field(default=(0.01, 0.5), description="of remove_silence")
    max_silence_duration: float = Field(default=0.25, description="of remove_silence, in seconds")
    volume_norm: bool = Field(default=False, description="bring all audio to about one loudness")
    volume_norm_param: Pair = Field(default=(-16.0, 2.0), description="mean and deviation of that loudness, in dB")
    epoch_steps: AtLeastOne = Field(default=2000, description="batches in an epoch")
    pre_encoded: bool = Field(default=False, description="the shards hold latents, not audio")
    latent_crop_length: AtLeastOne | None = Field(default=None, description="frames in a crop")
    resampled_shards: bool = Field(default=True, description="draw shards with replacement")


DatasetConfig = AudioFolders | PreEncodedFolders | Shards

SECTIONS: dict[str, Any] = {"audio_dir": AudioFolders, "pre_encoded": PreEncodedFolders, "s3": Shards, "wds": Shards}


def check_dataset_config(config: Mapping[str, Any], source: str = "dataset config", check_paths: bool = True) -> dict[str, Any]:
    """A dataset config that stable-audio-tools' data loader takes, returned as it came; ConfigError with every problem.

    With `check_paths` folders and files have to exist and hold something to load.
    """
    kind = config.get("dataset_type")
    if not isinstance(kind, str) or kind not in SECTIONS:
        problem = not_one_of("dataset_type", kind, "one of", SECTIONS)
        raise_problems([problem if "dataset_type" in config else problem._replace(found="nothing")], source)
    assert isinstance(kind, str)

    def problems(checked: DatasetConfig) -> Iterator[Problem]:
        for index, entry in enumerate(checked.datasets):
            if isinstance(entry, ShardSource):
                yield from _shard_problems(f"datasets[{index}]", entry)
            if check_paths:
                yield from _path_problems(f"datasets[{index}]", entry, checked)
        listed = getattr(checked, "files", None)
        if check_paths and listed is not None and not os.path.isfile(listed):
            yield Problem("files", show(listed), "a list that the command scan wrote", _from_here(listed))

    validated(SECTIONS[kind], config, source, problems)
    return dict(config)


def _shard_problems(where: str, entry: ShardSource) -> Iterator[Problem]:
    if (entry.path is None) == (entry.s3_path is None):
        found = "neither path nor s3_path" if entry.path is None else "both path and s3_path"
        yield Problem(where, found, "one of path and s3_path")
    elif entry.s3_path is not None and not entry.s3_path.startswith("s3://"):
        yield Problem(f"{where}.s3_path", show(entry.s3_path), "an address that starts with s3://", "A folder goes under path.")


def _path_problems(where: str, entry: Any, config: DatasetConfig) -> Iterator[Problem]:
    path, module = entry.path, entry.custom_metadata_module
    endings: tuple[str, ...] = (".tar",) if isinstance(config, Shards) else AUDIO_ENDINGS
    if isinstance(config, PreEncodedFolders):
        listed = os.path.isfile(Path(entry.path or "", "filelist.txt"))  # read in place of a search
        endings = () if listed else (f".{config.latent_extension}",)
    if path is not None and not os.path.isdir(path):  # unlike pathlib's, false of a name that is too long
        what = "a file" if os.path.isfile(path) else "no such folder"
        yield Problem(f"{where}.path", f"{show(path)} ({what})", "a folder that exists", _from_here(path))
    elif path is not None and endings and not _holds(path, endings):
        found = f"{show(path)}, a folder without a file to load"
        yield Problem(f"{where}.path", found, f"files ending in {', '.join(endings)}")
    if module is not None and not os.path.isfile(module):
        yield Problem(f"{where}.custom_metadata_module", show(module), "a Python file that exists", _from_here(module))


def _from_here(path: str) -> str:
    return "" if Path(path).is_absolute() else f"A relative path starts at the working directory, {Path.cwd()}."


def _holds(folder: str, endings: tuple[str, ...]) -> bool:
    """Whether the folder or one below it holds such a file, hidden ones aside; stops at the first."""
    files = (name for _, _, names in os.walk(folder, followlinks=True) for name in names)
    return any(name.lower().endswith(endings) and not name.startswith(".") for name in files)
