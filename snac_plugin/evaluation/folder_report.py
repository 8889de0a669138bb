"""A folder of generated audio against a folder of recordings.

Letters: P clips, N audio samples, S songs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.evaluation import music
from snac_plugin.evaluation.bootstrap import by_song, difference_of, mean_of
from snac_plugin.evaluation.clips import Clips, read_clips
from snac_plugin.evaluation.codec_report import clip_samples
from snac_plugin.evaluation.folder_drawing import folder_picture
from snac_plugin.evaluation.frechet import distances, patch_features
from snac_plugin.evaluation.material import DISTANCE_ROWS, NOISE, RANDOM, REAL, decode
from snac_plugin.evaluation.report import Cell, Report, Table

GENERATED = "generated"


def evaluate_folder(
    generated: str | Path,
    recordings: str | Path,
    codec: SnacPretransform,
    *,
    clips: int = 32,
    seconds: float | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: bool = True,
) -> tuple[Report, Figure]:
    """Frechet distance, loudness, brightness, beat, tempo and key of generated audio beside recordings.

    Args:
        generated: folder of generated audio; a file is a song.
        recordings: folder of recordings.
        codec: whose encoder hears both.
        clips: most clips of each folder.
        seconds: length of a clip; 64 frames by default.
        seed: of clips, noise and bootstrap.
        batch: clips at once.
        progress: show bars.

    Raises:
        AudioError: one of the folders holds fewer than two songs of that length.
    """
    samples = clip_samples(codec.downsampling_ratio, codec.sample_rate, seconds)
    both = {
        name: read_clips(folder, codec.sample_rate, samples, clips, seed=seed, progress=progress)
        for name, folder in ((GENERATED, generated), (REAL, recordings))
    }
    tables = [_distance_table(both[GENERATED], both[REAL], codec, seed, batch, progress)]
    heard, notes = _measured(both, progress), () if music.have_librosa() else (music.WITHOUT_LIBROSA,)
    tables.append(_sound_table(heard, both, seed))
    report = Report(
        f"{generated} beside {recordings}",
        f"{both[GENERATED].about()}; {both[REAL].about()}. Codec {codec.codec_name}, seed {seed}. "
        "In brackets the middle 95 % of a bootstrap over songs.",
        tuple(tables),
        notes,
        {"seed": seed, "codec": codec.codec_name, "generated": both[GENERATED].as_dict(), "data": both[REAL].as_dict()},
    )
    return report, folder_picture(report, both[GENERATED], both[REAL], heard)


def _distance_table(generated: Clips, recordings: Clips, codec: SnacPretransform, seed: int, batch: int, progress: bool) -> Table:
    generator = torch.Generator().manual_seed(seed)
    frames = recordings.audio.shape[-1] // codec.downsampling_ratio
    drawn = torch.randint(codec.codebook_size, (len(recordings.files), codec.levels.rows, frames), generator=generator)
    loud = recordings.audio.square().mean(dim=-1, keepdim=True).sqrt()
    kinds = {
        REAL: (recordings.audio, recordings.songs),
        GENERATED: (generated.audio, generated.songs),
        RANDOM: (decode(codec, drawn, batch, seed), np.arange(len(drawn))),
        NOISE: (torch.randn(recordings.audio.shape, generator=generator) * loud, recordings.songs),
    }
    features = {}
    for name, (audio, songs) in tqdm(kinds.items(), desc="features", unit="kind", disable=not progress):
        found = patch_features(codec, audio[:, None])
        features[name] = [np.concatenate(list(found[songs == song])) for song in np.unique(songs)]
    real = features.pop(REAL)
    apart = distances(real, features, unpaired=(GENERATED, RANDOM), seed=seed)
    rows: list[tuple[Cell, ...]] = [(DISTANCE_ROWS.get(name, name), estimate) for name, estimate in apart.by_kind.items()]
    return Table("frechet", apart.title(), ("audio", "distance"), rows, digits=3)


def _measured(both: dict[str, Clips], progress: bool) -> dict[str, dict[str, np.ndarray]]:
    """By measure and folder, the values of all clips [P]; tempo, beat and key only where librosa is."""
    rate = both[REAL].rate
    measures = music.measures(rate)
    if music.have_librosa():
        measures["tempo, beats a minute"] = lambda audio: music.tempo(audio, rate)
        del measures[music.KEY_CLARITY]  # it comes with the key, from one spectrum
    found: dict[str, dict[str, np.ndarray]] = {}
    bar = tqdm(total=sum(len(c.songs) for c in both.values()) * len(measures), desc="sound", unit="clip", disable=not progress)
    for what, measure in measures.items():
        found[what] = {}
        for name, clips in both.items():
            found[what][name] = np.array([measure(one) for one in clips.audio.numpy() if bar.update() or True])
    bar.close()
    if music.have_librosa():
        fits = {n: np.array([music.key_fits(music.pitch_classes(one, rate)) for one in c.audio.numpy()]) for n, c in both.items()}
        found[music.KEY_CLARITY] = {name: fit.max(axis=1) for name, fit in fits.items()}
        found["key"] = {name: fit.argmax(axis=1) for name, fit in fits.items()}
    return found


def _sound_table(heard: dict[str, dict[str, np.ndarray]], both: dict[str, Clips], seed: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for what, values in heard.items():
        if what != "key":
            real, made = (by_song(values[name], both[name].songs) for name in (REAL, GENERATED))
            rows.append((what, mean_of(real, seed), mean_of(made, seed), difference_of(made, real, seed)))
    return Table("sound", "**Sound**, mean over songs", ("measure", REAL, GENERATED, "difference"), rows)
