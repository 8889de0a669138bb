"""The evaluation of a codec on recordings it has not seen, beside an untrained one and Opus.

Letters: P clips, N audio samples, S songs, L levels, K codes of a codebook or multiples of the codec's rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from snac import SNAC
from torch import Tensor
from torchmetrics.functional import scale_invariant_signal_distortion_ratio
from tqdm import tqdm

from snac_plugin.codec.load import Codec, codes_fingerprint
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec_training.codebooks import perplexity
from snac_plugin.codec_training.losses import log_mel_distance, multi_scale_log_mel_distance
from snac_plugin.errors import AudioError
from snac_plugin.evaluation.bootstrap import Estimate, by_song, mean_of, statistic_of
from snac_plugin.evaluation.clips import Clips, read_clips
from snac_plugin.evaluation.codec_drawing import codec_picture
from snac_plugin.evaluation.lines import PERIODS, line_excess, line_frequencies
from snac_plugin.evaluation.material import decode, encode
from snac_plugin.evaluation.opus import KBITS, opus_encoder, round_trip
from snac_plugin.evaluation.report import Cell, Report, Table

UNTRAINED = "untrained, same geometry"
NO_OPUS = "Opus is missing: no ffmpeg with libopus on the path, and this soundfile writes no Opus (0.13 and later do)"
CLIP_FRAMES = 64
BUZZ_DB = 3.0


@dataclass(frozen=True)
class Coded:
    """What one coder makes of the clips.

    Args:
        audio: [P, N].
        kbits: kbit/s.
        counts: codes counted, [S, L, K]; None of Opus.
    """

    audio: Tensor
    kbits: float
    counts: Tensor | None = None


def evaluate_codec(
    codec: Codec,
    folder: str | Path,
    *,
    clips: int = 32,
    seconds: float | None = None,
    seed: int = 0,
    batch: int = 8,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> tuple[Report, Figure]:
    """Distances, code usage and buzz of a codec on the songs of a folder.

    Args:
        codec: from `load_codec`.
        folder: recordings it was not trained on.
        clips: most clips.
        seconds: length of a clip; 64 frames by default.
        seed: of clips, decoder noise, the untrained codec's weights and the bootstrap.
        batch: clips at once.
        device: where the codecs run.
        progress: show bars.

    Raises:
        AudioError: the folder holds fewer than two songs of that length, or clips are too short for long-window spectra.
    """
    levels = codec.levels
    samples = clip_samples(levels.frame_samples, levels.sample_rate, seconds)
    if samples < PERIODS * levels.hop:
        least = f"at least {PERIODS * levels.hop / levels.sample_rate:.2f}, one long window"
        raise AudioError("--seconds", f"{samples / levels.sample_rate:.2f}", least)
    read = read_clips(folder, levels.sample_rate, samples, clips, seed=seed, progress=progress)
    coders: dict[str, Callable[[], Coded]] = {
        codec.name: lambda: _by_snac(codec, read, batch, seed, device),
        UNTRAINED: lambda: _by_snac(untrained(codec, seed), read, batch, seed, device),
    }
    encoder = opus_encoder()
    if encoder:
        coders[f"Opus at {KBITS} kbit/s ({encoder})"] = lambda: _by_opus(read, encoder)
    bar = tqdm(coders.items(), desc="coding", unit="coder", disable=not progress)
    coded = {name: code() for name, code in bar}
    excess = {name: _excess(c.audio, read, levels.hop) for name, c in coded.items()}
    original = _excess(read.audio, read, levels.hop)
    tables = (
        _distance_table(read, coded, excess, original, levels.hop, progress, seed),
        _usage_table(coded, levels.names, seed),
    )
    weights = sum(p.numel() for p in codec.model.parameters())
    report = Report(
        f"codec {codec.name} on {read.folder}",
        f"{read.about()}. {weights / 1e6:.1f} M weights, fingerprint {codec.fingerprint}, seed {seed}. "
        "In brackets the middle 95 % of a bootstrap over songs.",
        tables,
        () if encoder else (NO_OPUS,),
        {"seed": seed, "codec": codec.name, "fingerprint": codec.fingerprint, "data": read.as_dict()},
    )
    apart = {name: found - original for name, found in excess.items()}
    return report, codec_picture(report, read, coded[codec.name].audio, apart, line_frequencies(read.rate, levels.hop), levels)


def clip_samples(frame_samples: int, rate: int, seconds: float | None) -> int:
    """Samples of a clip: whole frames, 64 or as many as fit into so many seconds."""
    return CLIP_FRAMES * frame_samples if seconds is None else max(1, int(seconds * rate / frame_samples)) * frame_samples


def untrained(codec: Codec, seed: int) -> Codec:
    """A codec of the same geometry with the weights that SNAC starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SNAC(**codec.config).eval().requires_grad_(False)
    return Codec(UNTRAINED, model, codec.levels, codec.config, codes_fingerprint(model.state_dict()))


def _by_snac(codec: Codec, clips: Clips, batch: int, seed: int, device: torch.device | str) -> Coded:
    pretransform, levels = SnacPretransform(codec).to(device), codec.levels
    codes = encode(pretransform, clips.audio, batch, progress=False)
    counts = torch.zeros(len(clips.files), len(levels), levels.codebook_size)
    for level, found in enumerate(levels.unpack(codes)):
        for song, one in zip(clips.songs, found, strict=True):
            counts[song, level] += torch.bincount(one, minlength=levels.codebook_size)
    kbits = levels.rows * np.log2(levels.codebook_size) * levels.frames_per_second / 1000
    return Coded(decode(pretransform, codes, batch, seed), float(kbits), counts)


def _by_opus(clips: Clips, encoder: str) -> Coded:
    """Clips of a song go through as one, as a file's header would weigh too much on short ones."""
    made, kbits = [], []
    for song in range(len(clips.files)):
        own = clips.audio[torch.from_numpy(clips.songs == song)]
        trip = round_trip(own.flatten().numpy(), clips.rate, encoder)
        made.append(torch.from_numpy(trip.audio.copy()).view_as(own))
        kbits.append(trip.kbits)
    return Coded(torch.cat(made), float(np.mean(kbits)))


def _excess(audio: Tensor, clips: Clips, hop: int) -> np.ndarray:
    """Line excess of each song [S, K]."""
    return np.stack([line_excess(audio.numpy()[clips.songs == song], clips.rate, hop) for song in range(len(clips.files))])


def _distance_table(
    clips: Clips,
    coded: dict[str, Coded],
    excess: dict[str, np.ndarray],
    original: np.ndarray,
    hop: int,
    progress: bool,
    seed: int,
) -> Table:
    frequencies, rate = line_frequencies(clips.rate, hop), clips.rate
    rows: list[tuple[Cell, ...]] = []
    for name, one in tqdm(coded.items(), desc="distances", unit="coder", disable=not progress):
        pairs = list(zip(clips.audio[:, None, None], one.audio[:, None, None], strict=True))
        measures = [
            np.array([multi_scale_log_mel_distance(a, b, rate) for a, b in pairs]),
            np.array([log_mel_distance(a, b, rate) for a, b in pairs]),
            scale_invariant_signal_distortion_ratio(one.audio, clips.audio, zero_mean=True).numpy(),
        ]
        apart = excess[name] - original
        strongest = int(apart.mean(axis=0).argmax())
        cells: list[Cell] = [mean_of(by_song(values, clips.songs), seed) for values in measures]
        buzz: list[Cell] = [mean_of(apart.mean(axis=1), seed), mean_of(apart[:, strongest], seed)]
        loud = int((apart.mean(axis=0) > BUZZ_DB).sum())
        rows.append((name, one.kbits, *cells, *buzz, f"{frequencies[strongest]:,.0f} Hz", f"{loud} of {len(frequencies)}"))
    unit = f"{rate / hop:.1f} Hz"
    columns: tuple[str, ...] = ("coder", "kbit/s", "log-mel, six scales, dB", "log-mel, 80 bands, dB", "SI-SDR, dB")
    columns += (f"lines at {unit}, dB", "strongest line, dB", "where", f"lines above {BUZZ_DB:g} dB")
    title = (
        "**Distance** of round trips (log-mel: lower is better; SI-SDR: higher is better) and **buzz**: level of spectral lines at "
        f"multiples of {unit} above their neighbours, less that of the recordings (0 is none; the strongest is one of many, so it "
        "is above 0 by chance alone)"
    )
    return Table("distances", title, columns, rows)


def _usage_table(coded: dict[str, Coded], names: str, seed: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, one in coded.items():
        for level, letter in enumerate(names if one.counts is not None else ""):
            assert one.counts is not None
            counts = one.counts[:, level]
            varied: Estimate = statistic_of(len(counts), lambda songs, c=counts: float(perplexity(c[songs].sum(dim=0))), seed)  # type: ignore[misc]
            used, counted = int((counts.sum(dim=0) > 0).sum()), int(counts.sum())
            rows.append((name, letter, used, varied, counted))
    size = next(c.counts.shape[-1] for c in coded.values() if c.counts is not None)
    title = f"**Code usage**, of {size:,} codes a level; perplexity is at most the codes counted"
    return Table("usage", title, ("coder", "level", "codes used", "perplexity", "codes counted"), rows, digits=0)
