"""The evaluation of a checkpoint on held-out songs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clip_conditions import conditions_used, with_clips
from snac_plugin.evaluation.clips import AudioSet, Clips, encode, read_clips
from snac_plugin.evaluation.conditions_heard import Heard, conditions_table
from snac_plugin.evaluation.confidence_intervals import BRACKETS, by_song
from snac_plugin.evaluation.frechet_distance import NOISE, REAL, distance_table
from snac_plugin.evaluation.held_out_losses import KINDS, context_losses, validation_losses
from snac_plugin.evaluation.long_songs import window_samples
from snac_plugin.evaluation.model_audio import CODEC, CONTINUED, FREE, audio_sets
from snac_plugin.evaluation.options import Options
from snac_plugin.evaluation.repetition import WITHOUT_TEMPO, repeated, tempos_of
from snac_plugin.evaluation.report import Report, Table
from snac_plugin.evaluation.report_picture import ACCENT, GREY, draw_bars, draw_dots, report_picture
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.pictures import LEVEL_COLOURS
from snac_plugin.wording import counted

NOISE_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
CONTEXTS = "contexts"
NO_CONTEXT = "this model sees no context (context_chunks 0): nothing to continue, so no agreement is measured"


def evaluate_model(model: SnacDiffusion, folder: str | Path, options: Options, name: str = "model") -> tuple[Report, Figure]:
    """Losses, Frechet distances, and how audio agrees with contexts, conditions and itself, on songs that it was not trained on.

    A song is at least (context_chunks + chunks) chunks long.
    """
    names = model.levels.names
    sampling = check_request(options.request, model.config, names, complete=False).as_dict(names)
    network, seed = model.model.network.config, options.seed
    window = window_samples(network, model.levels, options.chunks)
    clips = read_clips(folder, model.sample_rate, window, options.clips, seed=seed, progress=options.progress)
    options = with_clips(options, clips, model.config, model.chunk_samples)
    codes = encode(model.pretransform, clips.audio, options.batch, options.progress)
    kinds = audio_sets(model, clips, codes, options)
    tables = [
        _loss_table(model, clips, codes, options),
        distance_table(model.pretransform, kinds, seed, options.progress),
        _sound_table(clips, kinds, options),
    ]
    notes = [] if network.context_chunks else [NO_CONTEXT]
    if not music.have_librosa():
        notes.append(music.WITHOUT_LIBROSA)
    else:
        heard = _heard(model, clips, kinds, options)
        tables += [_agreement_table(clips, kinds, heard, options)] if network.context_chunks else []
        tables += [table for table in (_conditions_table(model, clips, kinds, heard, options),) if table is not None]
    if (tempos := tempos_of(clips, options.metadata)) is None:
        notes.append(WITHOUT_TEMPO)
    else:
        tables.append(_repetition_table(model, clips, kinds, tempos, options))
    settings = {"seed": seed, "sampling": sampling, "codec": model.pretransform.codec_name, "data": clips.as_dict()}
    conditions, told = conditions_used(model, options, clips)
    report = Report(f"{name} on {clips.folder}", _about(model, clips, options, told), tables, notes, settings | conditions)
    return report, _picture(report, clips, kinds, len(model.levels))


def _about(model: SnacDiffusion, clips: Clips, options: Options, conditions: str) -> str:
    weights = sum(p.numel() for p in model.model.network.parameters())
    chunks = f"{counted(model.model.network.config.context_chunks, 'chunk')} of context and {options.chunks} new in each"
    codec = model.pretransform.codec_name
    return (
        f"{clips.about()}: {chunks}. {weights / 1e6:.1f} M weights over codec {codec}, seed {options.seed}.{conditions} {BRACKETS}"
    )


def _loss_table(model: SnacDiffusion, clips: Clips, codes: Tensor, options: Options) -> Table:
    network, training, names = model.model.network.config, model.config.training, model.levels.names
    windows = codes[..., : (network.context_chunks + 1) * network.chunk_frames]
    noise_levels = NOISE_LEVELS if training is None else tuple(training.validation_timesteps)
    columns = {"validation loss": validation_losses(model, windows, noise_levels, options)}
    if network.context_chunks:
        by_kind = context_losses(model, windows, clips.songs, noise_levels, options)
        true, other, none = (by_kind[kind].mean(axis=0) for kind in KINDS)
        columns |= {"last chunk, true context": true, "another song's minus true": other - true, "none minus true": none - true}
    rows = {name: [by_song(v[:, level], clips.songs) for v in columns.values()] for level, name in enumerate(names)}
    rows["mean"] = [by_song(v.mean(axis=1), clips.songs) for v in columns.values()]
    kind = f"Cross-entropy in nats, a guess has {math.log(model.levels.codebook_size):.2f}"
    if network.head == "velocity":
        kind = "Squared error of the velocity"
    title = f"**Loss** ({kind}; mean over t = {', '.join(f'{t:g}' for t in noise_levels)}; lower is better)"
    return Table.of("losses", title, ("level", *columns), rows, options.seed, digits=3)


def _sound_table(clips: Clips, kinds: Mapping[str, AudioSet], options: Options) -> Table:
    measures, rows = music.measures(), {}
    for name, kind in tqdm(kinds.items(), desc="sound", unit="kind", disable=not options.progress):
        if name != NOISE:
            values = [[measure(clip, clips.rate) for clip in kind.audio.numpy()] for measure in measures.values()]
            rows[name] = [by_song(np.array(of_measure), kind.songs) for of_measure in values]
    return Table.of("sound", "**Sound**, mean over songs", ("audio", *measures), rows, options.seed)


def _heard(model: SnacDiffusion, clips: Clips, kinds: Mapping[str, AudioSet], options: Options) -> Heard:
    """Tempo and key of each clip of recordings and of what the model made, and of the contexts."""
    length = kinds[REAL].audio.shape[-1]
    audio = {name: kinds[name].audio for name in (REAL, CODEC, CONTINUED) if name in kinds}
    audio |= {CONTEXTS: clips.audio[:, : clips.audio.shape[-1] - length]} if CONTINUED in kinds else {}
    audio |= {FREE: kinds[FREE].audio} if FREE in kinds and options.metadata else {}
    named = tqdm(audio.items(), desc="key", unit="kind", disable=not options.progress)
    return {name: [music.TempoAndKey.of(clip, clips.rate) for clip in of_kind.numpy()] for name, of_kind in named}


def _agreement_table(clips: Clips, kinds: Mapping[str, AudioSet], heard: Heard, options: Options) -> Table:
    rows = {}
    for measure, compare in music.COMPARISONS.items():
        for name in (REAL, CODEC, CONTINUED):
            same_context, others = music.agreement(heard[name], heard[CONTEXTS], clips.songs, compare)
            rows[measure, name] = [same_context, others, same_context - others]
    title = "**Agreement** of what follows a context with that context, and with other songs' (shares of clips, or a correlation)"
    return Table.of("agreement", title, ("measure", "audio", "own context", "others'", "own minus others'"), rows, options.seed)


def _conditions_table(
    model: SnacDiffusion, clips: Clips, kinds: Mapping[str, AudioSet], heard: Heard, options: Options
) -> Table | None:
    if not options.metadata:
        return None
    shown = {name: kinds[name] for name in (CODEC, CONTINUED, FREE) if name in kinds}
    of_songs = [options.metadata[index] for index in np.unique(clips.songs, return_index=True)[1]]
    return conditions_table(model.config, model.pretransform, shown, heard, of_songs, options.seed)


def _repetition_table(
    model: SnacDiffusion, clips: Clips, kinds: Mapping[str, AudioSet], tempos: Sequence[float], options: Options
) -> Table:
    rows, of_song = {}, dict(zip(clips.songs.tolist(), tempos, strict=True))
    for name in (CODEC, CONTINUED, FREE):
        if name not in kinds or (codes := kinds[name].codes) is None or (name == FREE and not options.metadata):
            continue  # what is made from nothing has the tempo of a song only where it is asked for
        kind = kinds[name]
        first = codes.shape[-1] - kind.audio.shape[-1] // model.pretransform.downsampling_ratio
        shares = repeated(codes, [of_song[song] for song in kind.songs], model.levels, first)
        rows[name] = [by_song(share, kind.songs) for share in shares.T]
    title = "**Repetition**: share of codes that equal the one 1, 2, 4 or 6 bars before"
    return Table.of("repetition", title, ("audio", *model.levels.names, "all"), rows, options.seed)


def _picture(report: Report, clips: Clips, kinds: Mapping[str, AudioSet], levels: int) -> Figure:
    """Losses, distances and agreement above, a recording and its continuation below."""
    losses, distances = report.estimates("losses", "validation loss"), report.estimates("frechet", "distance")
    colours = [ACCENT if name in (CONTINUED, FREE) else GREY for name in distances]
    columns = {"with other songs' contexts": "others'", "with its own context": "own context"}
    agreements = {label: report.estimates("agreement", column) for label, column in columns.items()}
    panels = {
        "Validation loss by level": lambda axis: draw_bars(axis, losses, [*LEVEL_COLOURS[:levels], GREY]),
        "Frechet distance to recordings": lambda axis: draw_bars(axis, distances, colours),
        "Agreement with the context": lambda axis: draw_dots(axis, agreements, "no tempo and key:\nsee the notes in results.md"),
    }
    whole = clips.audio[0].numpy()
    title, kind = ("the same, continued by the model", CONTINUED) if CONTINUED in kinds else (FREE, FREE)
    new = kinds[kind].audio[0].numpy()
    context = whole[: len(whole) - len(new)]
    pair = {f"recording: {clips.files[0].name}": whole, title: np.concatenate([context, new])}
    return report_picture(report.title, panels, pair, clips.rate, join=len(context) / clips.rate)
