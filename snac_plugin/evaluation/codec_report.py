"""The evaluation of a codec on recordings it has not seen, beside an untrained one and Opus.

P clips, N audio samples, S songs, L levels, K codes of a codebook or multiples of the codec's rate.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from snac import SNAC
from torch import Tensor
from torchmetrics.functional import scale_invariant_signal_distortion_ratio as si_sdr
from tqdm import tqdm

from snac_plugin.codec.load import Codec, codes_fingerprint
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec_training.codebooks import perplexity
from snac_plugin.errors import UsageError
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clips import Clips, clip_samples, decode, encode, read_clips
from snac_plugin.evaluation.confidence_intervals import BRACKETS, by_song, statistic_of
from snac_plugin.evaluation.frechet_distance import REAL
from snac_plugin.evaluation.options import Options
from snac_plugin.evaluation.opus import KBITS, have_opus, round_trip
from snac_plugin.evaluation.report import Cell, Report, Table
from snac_plugin.evaluation.report_picture import ACCENT, GREY, draw_bars, draw_legend, report_picture
from snac_plugin.evaluation.timbre import timbre_table
from snac_plugin.output.pictures import INK, LEVEL_COLOURS
from snac_plugin.spectra.lines import PERIODS, line_excess, line_frequencies
from snac_plugin.spectra.mel import log_mel_distance, multi_scale_log_mel_distance

UNTRAINED = "untrained, same geometry"
NO_OPUS = "Opus is missing: this soundfile does not write it (the wheels from 0.13 on do)"
BUZZ_DB = 3.0
COLOURS = (ACCENT, GREY, "#c9892f")


SIX_SCALES = "log-mel, six scales, dB"
MEASURES: dict[str, Callable[[Tensor, Tensor, int], float]] = {
    SIX_SCALES: multi_scale_log_mel_distance,
    "log-mel, 80 bands, dB": log_mel_distance,
    "SI-SDR, dB": lambda real, made, rate: float(si_sdr(made, real, zero_mean=True)),
}
"""Columns of the table of distances: of a recording [1, 1, N], its round trip [1, 1, N] and their rate."""


class Coded(NamedTuple):
    """The round trip of the clips through one coder."""

    audio: Tensor  # [P, N]
    kbits: float  # kbit/s
    counts: Tensor | None = None  # how often each code was used [S, L, K]; None of Opus
    codes: Tensor | None = None  # packed [P, R, T]; None of Opus


def evaluate_codec(codec: Codec, folder: str | Path, options: Options, device: torch.device | str = "cpu") -> tuple[Report, Figure]:
    """Distances, code usage and buzz of a codec on the songs of a folder that it was not trained on.

    Clips that are too short for long-window spectra are a UsageError.
    """
    levels, rate, seed = codec.levels, codec.levels.sample_rate, options.seed
    samples = clip_samples(levels.frame_samples, rate, options.seconds)
    if samples < PERIODS * levels.hop:
        raise UsageError("--seconds", f"{samples / rate:.2f}", f"at least {PERIODS * levels.hop / rate:.2f}, one long window")
    clips = read_clips(folder, rate, samples, options.clips, seed=seed, progress=options.progress)
    coded = _round_trips(codec, clips, options, device)
    original = _line_excess(clips.audio, clips, levels.hop)
    excess = {name: _line_excess(one.audio, clips, levels.hop) - original for name, one in coded.items()}
    tables = (
        _distance_table(clips, coded, excess, levels.hop, options),
        timbre_table(clips, {name: one.audio for name, one in coded.items()}, seed),
        _prefix_table(clips, codec, coded[codec.short_name], options, device),
        _usage_table(coded, levels.names, seed),
    )
    weights = sum(p.numel() for p in codec.model.parameters())
    report = Report(
        f"codec {codec.name} on {clips.folder}",
        f"{clips.about()}. {weights / 1e6:.1f} M weights, fingerprint {codec.fingerprint}, seed {seed}. {BRACKETS}",
        tables,
        [note for note, there in ((NO_OPUS, have_opus()), (music.WITHOUT_LIBROSA, music.have_librosa())) if not there],
        {"seed": seed, "codec": codec.name, "fingerprint": codec.fingerprint, "data": clips.as_dict()},
    )
    return report, _picture(report, clips, coded[codec.short_name].audio, excess, line_frequencies(rate, levels.hop))


def untrained(codec: Codec, seed: int) -> Codec:
    """A codec of the same geometry with the weights that SNAC starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SNAC(**codec.config).eval().requires_grad_(False)
    return Codec(UNTRAINED, model, codec.levels, codec.config, codes_fingerprint(model.state_dict()))


def first_levels(codec: Codec, kept: int) -> Codec:
    """The codec with a decoder that hears the first levels alone, as training with `level_dropout` leaves the others out."""
    model = copy.deepcopy(codec.model)
    for level in model.quantizer.quantizers[kept:]:
        level.out_proj.register_forward_hook(lambda _, __, output: torch.zeros_like(output))
    return replace(codec, model=model)


def _round_trips(codec: Codec, clips: Clips, options: Options, device: torch.device | str) -> dict[str, Coded]:
    coders: dict[str, Callable[[], Coded]] = {
        codec.short_name: lambda: _by_snac(codec, clips, options, device),
        UNTRAINED: lambda: _by_snac(untrained(codec, options.seed), clips, options, device),
    }
    if have_opus():
        coders[f"Opus at {KBITS} kbit/s"] = lambda: _by_opus(clips)
    return {name: code() for name, code in tqdm(coders.items(), desc="coding", unit="coder", disable=not options.progress)}


def _by_snac(codec: Codec, clips: Clips, options: Options, device: torch.device | str) -> Coded:
    pretransform, levels = SnacPretransform(codec).to(device), codec.levels
    codes = encode(pretransform, clips.audio, options.batch, progress=False)
    counts = torch.zeros(len(clips.files), len(levels), levels.codebook_size)
    for level, codes_of_level in enumerate(levels.unpack(codes)):
        for song, one in zip(clips.songs, codes_of_level, strict=True):
            counts[song, level] += torch.bincount(one, minlength=levels.codebook_size)
    kbits = levels.rows * np.log2(levels.codebook_size) * levels.frames_per_second / 1000
    return Coded(decode(pretransform, codes, options.batch, options.seed), float(kbits), counts, codes)


def _by_opus(clips: Clips) -> Coded:
    """All clips of a song in one file: in short files the header would count too much."""
    audio, kbits = [], []
    for song in range(len(clips.files)):
        recorded = clips.audio[torch.from_numpy(clips.songs == song)]
        trip = round_trip(recorded.flatten().numpy(), clips.rate)
        audio.append(torch.from_numpy(trip.audio.copy()).view_as(recorded))
        kbits.append(trip.kbits)
    return Coded(torch.cat(audio), float(np.mean(kbits)))


def _line_excess(audio: Tensor, clips: Clips, hop: int) -> np.ndarray:
    """Line excess of each song [S, K]."""
    return np.stack([line_excess(audio.numpy()[clips.songs == song], clips.rate, hop) for song in range(len(clips.files))])


def _distance_table(
    clips: Clips, coded: Mapping[str, Coded], excess: Mapping[str, np.ndarray], hop: int, options: Options
) -> Table:
    frequencies, rows = line_frequencies(clips.rate, hop), {}
    for name, one in tqdm(coded.items(), desc="distances", unit="coder", disable=not options.progress):
        pairs = list(zip(clips.audio[:, None, None], one.audio[:, None, None], strict=True))
        values = [np.array([measure(*pair, clips.rate) for pair in pairs]) for measure in MEASURES.values()]
        mean = excess[name].mean(axis=0)
        strongest = int(mean.argmax())
        lines = [excess[name].mean(axis=1), excess[name][:, strongest], f"{frequencies[strongest]:,.0f} Hz"]
        loud = f"{(mean > BUZZ_DB).sum()} of {len(frequencies)}"
        rows[name] = [one.kbits, *(by_song(v, clips.songs) for v in values), *lines, loud]
    unit = f"{clips.rate / hop:.1f} Hz"
    columns = ("coder", "kbit/s", *MEASURES, f"lines at {unit}, dB", "strongest line, dB", "where", f"lines above {BUZZ_DB:g} dB")
    title = (
        "**Distance** of round trips (log-mel: lower is better; SI-SDR: higher is better) and **buzz**: level of spectral lines at "
        f"multiples of {unit} above their neighbours, less that of the recordings (0 is none; the strongest is one of many, so it "
        "is above 0 by chance alone)"
    )
    return Table.of("distances", title, columns, rows, options.seed)


def _prefix_table(clips: Clips, codec: Codec, coded: Coded, options: Options, device: torch.device | str) -> Table:
    """What the coarse levels say by themselves."""
    assert coded.codes is not None
    names, kinds = codec.levels.names, {REAL: clips.audio}
    for kept in tqdm(range(1, len(names)), desc="prefixes", unit="prefix", disable=not options.progress):
        part = SnacPretransform(first_levels(codec, kept)).to(device)
        kinds[names[:kept]] = decode(part, coded.codes, options.batch, options.seed)
    kinds[names] = coded.audio
    measures: dict[str, Callable[[Tensor, Tensor], float]] = {
        SIX_SCALES: lambda a, b: multi_scale_log_mel_distance(a[None, None], b[None, None], clips.rate)
    }
    if music.have_librosa():
        measures[music.BEAT] = lambda _, b: music.beat_strength(b.numpy(), clips.rate)
        measures[music.PITCH] = lambda a, b: music.correlation(*(music.pitch_classes(x.numpy(), clips.rate) for x in (a, b)))
    rows = {}
    for name, audio in kinds.items():
        values = [np.array([of(*pair) for pair in zip(clips.audio, audio, strict=True)]) for of in measures.values()]
        rows[name] = [by_song(of_measure, clips.songs) for of_measure in values]
    title = "**Prefixes**: codes decoded from their first levels alone (pitch classes: against the recording's)"
    return Table.of("prefixes", title, ("levels heard", *measures), rows, options.seed)


def _usage_table(coded: Mapping[str, Coded], names: str, seed: int) -> Table:
    counted = {name: one.counts for name, one in coded.items() if one.counts is not None}
    rows: dict[tuple[str, str], list[Cell]] = {}
    for name, counts in counted.items():
        for letter, level in zip(names, counts.unbind(dim=1), strict=True):
            spread = statistic_of(partial(_perplexity, level), len(level), seed)
            rows[name, letter] = [int((level.sum(dim=0) > 0).sum()), spread, int(level.sum())]
    size = next(iter(counted.values())).shape[-1]
    title = f"**Code usage**, of {size:,} codes a level; perplexity is at most the codes counted"
    return Table.of("usage", title, ("coder", "level", "codes used", "perplexity", "codes counted"), rows, digits=0)


def _perplexity(counts: Tensor, songs: np.ndarray) -> float:
    return float(perplexity(counts[songs].sum(dim=0)))


def _picture(report: Report, clips: Clips, made: Tensor, excess: Mapping[str, np.ndarray], frequencies: np.ndarray) -> Figure:
    """Distances, code usage and buzz above; a recording and its round trip below."""
    colours, codec = dict(zip(excess, COLOURS, strict=False)), next(iter(excess))
    distances, usage = report.estimates("distances", SIX_SCALES), report.estimates("usage", "perplexity")
    varied = {name.removeprefix(f"{codec}\n"): spread for name, spread in usage.items() if name.startswith(f"{codec}\n")}

    def draw_lines(axis: Axes) -> None:
        for name in reversed(list(excess)):
            axis.plot(frequencies / 1000, excess[name].mean(axis=0), color=colours[name], linewidth=1, label=name.split(" (")[0])
        axis.axhline(0, color=INK, linewidth=0.8)
        draw_legend(axis, "kHz")

    panels = {
        "Log-mel distance, six scales (dB)": lambda axis: draw_bars(axis, distances, [colours[name] for name in distances]),
        "Perplexity of the codes": lambda axis: draw_bars(axis, varied, LEVEL_COLOURS[: len(varied)], digits=0),
        f"Lines at multiples of {frequencies[0]:.1f} Hz (dB)": draw_lines,
    }
    pair = {f"recording: {clips.files[0].name}": clips.audio[0].numpy(), f"through {codec}": made[0].numpy()}
    return report_picture(report.title, panels, pair, clips.rate)
