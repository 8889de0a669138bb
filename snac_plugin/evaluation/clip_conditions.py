"""What each clip is said to be: the metadata of its song, and where in the song it lies."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from snac_plugin.config import SnacModelConfig
from snac_plugin.config.condition_values import Position
from snac_plugin.config.validation import show
from snac_plugin.errors import AudioError, UsageError
from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.options import Options
from snac_plugin.files import read_json_object
from snac_plugin.generation.batch import overlaid
from snac_plugin.generation.option import Metadata
from snac_plugin.generation.settings import check_metadata
from snac_plugin.generation.snac_diffusion import SnacDiffusion

OR_FOR_ALL = ", or give --condition NAME=VALUE for all clips"


def with_clips(options: Options, clips: Clips, config: SnacModelConfig, chunk_samples: int, or_else: str = OR_FOR_ALL) -> Options:
    """The options with the conditions of each clip, for a model that reads any.

    They come from the JSON file beside the song, `song.json` beside `song.flac`; those of the request, for all clips, go over them.
    `or_else` is what else an error advises. AudioError: a song without a condition that the model needs.
    """
    section = config.model.conditioning
    if section is None:
        return options
    of_songs: list[dict[str, Any]] = []
    for file in clips.files:
        of_song = section.read_of(read_json_object(file.with_suffix(".json")) or {})
        of_songs.append(overlaid(of_song, options.conditioning, section.default_keys))
        try:
            check_metadata(of_songs[-1], config)
        except UsageError as error:
            advice = f"Write it into {file.with_suffix('.json').name} beside it{or_else}."
            raise AudioError(str(file), f"{error.found} ({error.where})", error.expected, advice) from None
    places = tuple((start / chunk_samples, length / chunk_samples) for start, length in clips.places)
    return replace(options, metadata=tuple(of_songs[song] for song in clips.songs), places=places)


def conditions_used(model: SnacDiffusion, options: Options, clips: Clips) -> tuple[dict[str, Any], str]:
    """What a report holds of the conditions: those of each song by its file, and a sentence; nothing for a model without any."""
    if model.config.model.conditioning is None:
        return {}, ""
    files = [str(file.relative_to(clips.folder)) for file in clips.files]
    by_song = {files[song]: dict(said) for song, said in zip(clips.songs, options.metadata, strict=True)}
    for_all = dict(options.conditioning)
    said_of_songs = sorted({key for said in by_song.values() for key in said} - for_all.keys())
    parts = [f"{', '.join(said_of_songs)} as the JSON file beside each song says"] if said_of_songs else []
    parts += [f"{key} {show(value)} for all clips" for key, value in for_all.items()]
    parts += [f"{name}: where each clip lies in its song" for name in model.position_ids]
    return {"conditions": {"for_all_clips": for_all, "by_song": by_song}}, f" Conditions: {'; '.join(parts)}." if parts else ""


def metadata_of(model: SnacDiffusion, options: Options, which: Sequence[int], first: int, chunks: int) -> list[Metadata]:
    """Metadata of some clips for so many chunks, of which the first is the clip's chunk `first`."""
    entries = [options.metadata[index] if options.metadata else options.conditioning for index in which]
    places = [options.places[index] if options.places else (0.0, float(first + chunks)) for index in which]
    positions = [Position(index + first, max(total, index + first + 1), chunks) for index, total in places]
    return [{**entry, **dict.fromkeys(model.position_ids, at)} for entry, at in zip(entries, positions, strict=True)]
