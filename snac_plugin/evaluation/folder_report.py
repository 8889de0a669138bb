"""A folder of generated audio against a folder of recordings."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.demo_music.theory import NOTE_NAMES
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clips import AudioSet, clip_samples, read_clips
from snac_plugin.evaluation.confidence_intervals import BRACKETS, by_song, difference_of
from snac_plugin.evaluation.frechet_distance import REAL, ceilings, distance_table
from snac_plugin.evaluation.options import Options
from snac_plugin.evaluation.report import Report, Table
from snac_plugin.evaluation.report_picture import ACCENT, GREY, draw_bars, draw_legend, draw_note, report_picture

GENERATED = "generated"
TEMPO, KEY = "tempo, beats a minute", "key"
EDGES = {TEMPO: np.arange(40, 241, 10), KEY: np.arange(25) - 0.5}
Values = dict[str, dict[str, np.ndarray]]  # by measure and folder: of each clip


def evaluate_folder(
    generated: str | Path, recordings: str | Path, codec: SnacPretransform, options: Options
) -> tuple[Report, Figure]:
    """Frechet distance (on the codec's encoder) and measures of sound of a folder of generated audio beside recordings."""
    rate, seed, progress = codec.sample_rate, options.seed, options.progress
    samples = clip_samples(codec.downsampling_ratio, rate, options.seconds)
    made, real = (read_clips(path, rate, samples, options.clips, seed=seed, progress=progress) for path in (generated, recordings))
    audio = {REAL: AudioSet(real.audio, real.songs), GENERATED: AudioSet(made.audio, made.songs, paired=False)}
    distances = distance_table(codec, audio | ceilings(codec, audio[REAL], options.batch, seed), seed, progress)
    values = _values(audio, rate, progress)
    report = Report(
        f"{generated} beside {recordings}",
        f"{made.about()}; {real.about()}. Codec {codec.codec_name}, seed {seed}. {BRACKETS}",
        [distances, _sound_table(values, audio, seed)],
        () if music.have_librosa() else (music.WITHOUT_LIBROSA,),
        {"seed": seed, "codec": codec.codec_name, "generated": made.as_dict(), "data": real.as_dict()},
    )
    panels: dict[str, Callable[[Axes], None]] = {
        "Frechet distance to recordings": lambda axis: draw_bars(axis, distances.estimates("distance"), [GREY, ACCENT, GREY, GREY]),
        "Tempo (share of clips)": partial(_draw_shares, values=values, name=TEMPO),
        "Key (share of clips)": partial(_draw_shares, values=values, name=KEY),
    }
    pair = {f"recording: {real.files[0].name}": real.audio[0].numpy(), f"generated: {made.files[0].name}": made.audio[0].numpy()}
    return report, report_picture(report.title, panels, pair, rate)


def _values(audio: Mapping[str, AudioSet], rate: int, progress: bool) -> Values:
    measures = music.measures()
    if music.have_librosa():
        measures |= {TEMPO: music.tempo, KEY: lambda clip, rate: music.key(music.pitch_classes(clip, rate))}
    return {
        name: {kind: np.array([measure(clip, rate) for clip in clips.audio.numpy()]) for kind, clips in audio.items()}
        for name, measure in tqdm(measures.items(), desc="sound", unit="measure", disable=not progress)
    }


def _sound_table(values: Values, audio: Mapping[str, AudioSet], seed: int) -> Table:
    rows = {}
    for name, by_kind in values.items():
        real, made = (by_song(by_kind[kind], audio[kind].songs) for kind in (REAL, GENERATED))
        if name != KEY:  # the number of a key has no mean
            rows[name] = [real, made, difference_of(made, real, seed)]
    return Table.of("sound", "**Sound**, mean over songs", ("measure", REAL, GENERATED, "difference"), rows, seed)


def _draw_shares(axis: Axes, values: Values, name: str) -> None:
    if name not in values:
        draw_note(axis, "librosa is missing")
        return
    edges = EDGES[name]
    for kind, colour in ((GENERATED, ACCENT), (REAL, GREY)):
        clipped = np.clip(values[name][kind], edges[0], edges[-1])
        axis.stairs(np.histogram(clipped, edges)[0] / len(clipped), edges, fill=True, alpha=0.55, color=colour, label=kind)
    draw_legend(axis, "beats a minute" if name == TEMPO else "major, then minor")
    if name == KEY:
        axis.set_xticks(range(24), [*NOTE_NAMES, *(tonic.lower() for tonic in NOTE_NAMES)], fontsize=7)
