"""Songs for benchmarks, as codes: demo music rendered and encoded once, or a folder that pre_encode.py made.

Letters: R rows, T frames, N audio samples.
"""

import argparse
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snac_plugin.cli.demo_songs import Kind, add_kind_arguments, kind_from
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import check_model_config
from snac_plugin.data.audio import read_audio
from snac_plugin.data.codes_details import FILELIST, read_details
from snac_plugin.data.codes_folder import DATASET_CONFIG, check_fingerprint
from snac_plugin.data.demo_music import metadata as demo_metadata
from snac_plugin.data.demo_music import render_demo_music
from snac_plugin.data.pre_encode import pre_encode
from snac_plugin.errors import AudioError
from snac_plugin.generation.context import mono
from snac_plugin.plugin import builders

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Song:
    """A song.

    Args:
        codes: packed codes [R, T], silence at the end left out.
        recording: the audio file they were made of.
    """

    codes: Tensor
    recording: Path

    def audio(self, codec: SnacPretransform) -> Tensor:
        """The recording [N], or the codec's version of it where it is gone."""
        if self.recording.is_file():
            rate, audio = read_audio(self.recording)
            return mono(audio, rate, codec.sample_rate)
        log.warning("%s is gone: its codes are decoded in its place", self.recording)
        return codec.decode_tokens(self.codes[None].to(codec.space.means.device))[0, 0].cpu()


def add_arguments(parser: argparse.ArgumentParser, *, held_out: int, seconds: float | None) -> None:
    """Arguments on held-out songs, with defaults."""
    parser.add_argument("--music", type=Path, default=Path("demo_music/benchmarks"), help="where demo music is rendered to")
    add_kind_arguments(parser)
    parser.add_argument("--held-out", type=Path, metavar="FOLDER", help="codes of held-out songs, in place of demo music")
    parser.add_argument("--held-out-songs", type=int, default=held_out, help="songs of demo music to hold out")
    parser.add_argument("--held-out-seconds", type=float, default=seconds, help="length of each; what is needed by default")


def codec_of(config: dict[str, Any]) -> SnacPretransform:
    """The codec of a model config."""
    return builders.pretransform(config["model"]["pretransform"], check_model_config(config).sample_rate)


def demo_codes(
    codec: SnacPretransform,
    split: str,
    music: Path,
    songs: int,
    seconds: float,
    min_frames: int,
    kind: Kind,
) -> Path:
    """Codes of rendered songs; what is there already is used. Returns the folder of the codes."""
    name = "_".join([f"{split}_{songs}x{seconds:g}s", *kind.words]).replace(" ", "_")
    audio = render_demo_music(
        music / name, split=split, songs=songs, seconds=seconds, sample_rate=codec.sample_rate, **asdict(kind)
    )
    entry = {"id": name, "path": str(audio), "custom_metadata_module": str(Path(str(demo_metadata.__file__)).resolve())}
    source = {"dataset_type": "audio_dir", "datasets": [entry]}
    return pre_encode(source, music / f"{name}_codes_{codec.fingerprint}", codec, min_frames=min_frames).parent


def dataset_config(codes: Path, window: int, to: Path) -> Path:
    """Write the dataset config of a folder of codes for crops of `window` frames; returns its path."""
    config = json.loads((codes / DATASET_CONFIG).read_text(encoding="utf-8"))
    to.write_text(json.dumps(config | {"latent_crop_length": window, "random_crop": True}, indent=1), encoding="utf-8")
    return to


def read_songs(codes: Path, codec: SnacPretransform, min_frames: int, most: int) -> list[Song]:
    """The songs in a folder of codes that are long enough, at most `most`.

    Raises:
        AudioError: fewer than two songs are.
    """
    details = read_details(codes)
    if details is None:
        raise AudioError(str(codes), "no codes", "a folder that pre_encode.py made")
    check_fingerprint(details, codec.codec_name, codec.known_as, str(codes))
    found = []
    for name in (codes / FILELIST).read_text(encoding="utf-8").splitlines():
        packed = torch.from_numpy(np.load(codes / name).astype(np.int64))
        metadata = json.loads((codes / name).with_suffix(".json").read_text(encoding="utf-8"))
        found.append(Song(packed[:, : sum(metadata["padding_mask"])], Path(metadata["path"])))
    long = [song for song in found if song.codes.shape[-1] >= min_frames][:most]
    if len(long) < 2:
        raise AudioError(str(codes), f"{len(long)} songs of {min_frames} frames", "at least two", "Give longer songs.")
    return long


def held_out(args: argparse.Namespace, codec: SnacPretransform, min_frames: int) -> list[Song]:
    """The held-out songs that the arguments name, each of `min_frames` frames or more."""
    folder = args.held_out
    if folder is None:
        seconds = args.held_out_seconds or math.ceil(min_frames / codec.levels.frames_per_second)
        folder = demo_codes(codec, "held_out", args.music, args.held_out_songs, seconds, min_frames, kind_from(args))
    return read_songs(folder, codec, min_frames, args.held_out_songs)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean over songs [S], and its standard error."""
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def signed(mean: float, error: float, digits: int = 3) -> str:
    """A difference and its standard error, in bold where it is beyond two of them."""
    number = f"{mean:+.{digits}f}"
    return f"{f'**{number}**' if abs(mean) > 2 * error else number} ± {error:.{digits}f}"
