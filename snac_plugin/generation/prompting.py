"""From metadata to what each branch of guidance is told. Letters: B batch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snac_plugin.config.condition_values import Position, position_in
from snac_plugin.config.model_keys import ConditioningSection
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.errors import UsageError
from snac_plugin.generation.batch import overlaid
from snac_plugin.generation.option import Metadata
from snac_plugin.model.conditioners import ChunkPosition, blanks, chosen
from snac_plugin.model.conditions import Conditions

Tensors = Mapping[str, Any]  # outputs of conditioners by id: [value, mask]


@dataclass(frozen=True)
class Reading:
    """How a model reads metadata."""

    read: Callable[[Sequence[Metadata]], Tensors]  # conditioners' outputs of metadata
    join: Callable[[Tensors], Conditions]  # conditions of such outputs
    conditioners: Mapping[str, Any]  # by id
    aliases: Mapping[str, str]  # metadata keys that stand for missing ids

    def told(self, metadata: Sequence[Metadata], negative: Sequence[Metadata] | None, guidance: Guidance) -> dict[str, Any]:
        """What `generate_chunks` is told of the metadata of a batch: conditions, negative and others.

        `negative` is what guidance leads away from; keys that it leaves out are dropped.
        """
        tensors = self.read(metadata)
        nothing = blanks(tensors, self.conditioners)
        instead = nothing
        if negative is not None:
            filled = self.read([overlaid(*pair, self.aliases) for pair in zip(metadata, negative, strict=True)])
            kept = [name for name in tensors if isinstance(self.conditioners.get(name), ChunkPosition)]  # it lies where it lies
            instead = {name: chosen(said_in(name, negative, self.aliases), filled[name], nothing[name]) for name in tensors}
            instead |= {name: filled[name] for name in kept}
        learned = any(hasattr(conditioner, "unconditioned") for conditioner in self.conditioners.values())
        return {
            "conditions": self.join(tensors),
            "negative": None if negative is None else self.join(instead),
            "others": {
                "blank": self.join(nothing) if learned else None,
                "without": {name: self.join({**tensors, name: instead[name]}) for name in guidance.alone if name in tensors},
            },
        }


def said_in(name: str, metadata: Sequence[Metadata], aliases: Mapping[str, str]) -> Tensor:
    """Which entries of a batch say a condition, under its id or the key that stands in for it [B] bool."""
    return torch.tensor([name in entry or aliases.get(name) in entry for entry in metadata])


def joinable(
    tensors: Tensors, conditioners: Mapping[str, Any], global_ids: Sequence[str], concat_ids: Sequence[str], spatial: Sequence[str]
) -> dict[str, Any]:
    """Outputs whose shapes stable-audio-tools can join: one vector for each of as many chunks, channels for as many frames.

    A single vector in `input_concat_ids` holds for all frames; `spatial` names those that give channels for each.
    """
    result = dict(tensors)
    rows = {name: tensors[name][0].shape[1] if tensors[name][0].ndim == 3 else 1 for name in global_ids}
    most = max(rows.values(), default=1)
    by_chunk = any(isinstance(conditioners.get(name), ChunkPosition) for name in global_ids)
    for name in global_ids:
        if rows[name] not in (1, most if by_chunk else 1):
            raise UsageError("conditioning", f"{rows[name]} vectors for {name!r}", "one vector a sample for global_cond_ids")
        if most > 1:
            value, mask = tensors[name]
            value = value if value.ndim == 3 else value[:, None]
            result[name] = [value.expand(-1, most, -1), mask]
    frames = max([tensors[name][0].shape[-1] for name in concat_ids if name in spatial], default=1)
    for name in (name for name in concat_ids if name not in spatial):
        value = tensors[name][0]
        value = value if value.ndim == 3 else value[:, None]
        if value.shape[1] != 1:
            raise UsageError("conditioning", f"{value.shape[1]} tokens for {name!r}", "one vector a sample for input_concat_ids")
        result[name] = [value.transpose(1, 2).expand(-1, -1, frames), tensors[name][1]]
    return result


def with_positions(
    names: Sequence[str],
    metadata: Sequence[Metadata],
    first: Sequence[float],
    new: float,
    section: ConditioningSection | None,
    starts: Sequence[float] = (),
) -> list[Metadata]:
    """Metadata of a batch with the position of what is generated, unless it says that itself.

    Args:
        names: ids of the model's `chunk_position` conditioners.
        first: where in its piece each sample begins, in chunks.
        new: how long what is generated is, in chunks.
        starts: where each chunk of an edit begins, counted from there.
    """
    most = {c.id: c.config.get("most_chunks", math.inf) for c in (section.configs if section else ())}
    found: list[Metadata] = []
    for entry, index in zip(metadata, first, strict=True):
        given = {name: entry[name] for name in names if name in entry}
        said = {key: at[:2] if isinstance(at, Position) else position_in(at, most[key], key) for key, at in given.items()}
        pairs = {name: said.get(name, (index, index + new)) for name in names}
        chunks = {name: math.ceil(max(new, total - i)) + 1 for name, (i, total) in pairs.items()}
        positions = {name: Position(*pair, chunks[name], tuple(starts)) for name, pair in pairs.items()}
        found.append({**entry, **positions})
    longest = {name: max(entry[name].chunks for entry in found) for name in names}
    return [{**entry, **{name: entry[name]._replace(chunks=longest[name]) for name in names}} for entry in found]


def length_in_chunks(recording: Any, sample_rate: int, chunk_samples: int, chunk_frames: int) -> float:
    """Length of audio, (rate, audio) or packed codes, or 0 without any."""
    if recording is None:
        return 0.0
    rate, content = recording if isinstance(recording, tuple) and len(recording) == 2 else (sample_rate, recording)
    size = content.shape[-1]
    is_codes = np.issubdtype(content.dtype, np.integer) if isinstance(content, np.ndarray) else not content.is_floating_point()
    return size / chunk_frames if is_codes else size * sample_rate / rate / chunk_samples
