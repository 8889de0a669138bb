"""Classes of a checkpoint's conditioners for a model that has others: each class keeps its vector by its name."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snac_plugin.config.conditioner_keys import NUMBER_TYPES, ChunkPositionConfig
from snac_plugin.errors import CheckpointError

log = logging.getLogger(__name__)
OTHERS = "Use the config that it was trained with, or fine-tune from it: train.py --pretrained-ckpt-path."

CLASSES = {"list": "options", "class_mixture": "classes"}
"""Where conditioners have their classes in their config. The vector of none is the first of a `list`, the last of a mixture."""
LISTS = CLASSES | {"quality": "thresholds"}
NUMBERS = "its weights take the same number for another until they have learnt"


def check_classes(model: Any, config: Mapping[str, Any] | None, where: str) -> None:
    """CheckpointError for a model whose conditioners read other classes or numbers than those of the checkpoint's own config."""
    for name, kind, before, now in _in_both(model, config):
        was, is_now = _read(kind, before), _read(kind, now)
        for key in (key for key in was if was[key] != is_now[key]):
            found = f"weights of model.conditioning, conditioner {name}, {key} {json.dumps(was[key])}"
            raise CheckpointError(where, found, f"{json.dumps(is_now[key])}, as in the model config", OTHERS)


def with_classes_by_name(
    model: Any, state: Mapping[str, Tensor], config: Mapping[str, Any] | None, where: str
) -> dict[str, Tensor]:
    """Weights with a vector for each of the model's classes: its own by name, the mean of the checkpoint's if it is new.

    So a model begins on a new class as it would on an even mixture of those it knows. The log names new classes and those that are
    left out, and ranges of numbers that differ. Tables are [K + 1, D] for K classes. `config` is the checkpoint's own; without one
    nothing changes.
    """
    found = dict(state)
    for name, kind, before, now in _in_both(model, config):
        if (key := CLASSES.get(kind)) is None:
            was, is_now = ([*_read(kind, one).values()] for one in (before, now))
            if was != is_now:
                said = (" to ".join(map(str, values)) for values in (is_now, was))
                log.warning("%s: conditioner %s: %s, and was trained on %s: %s", where, name, *said, NUMBERS)
            continue
        known, wanted = [str(one) for one in before.get(key, ())], [str(one) for one in now.get(key, ())]
        weight = f"conditioner.conditioners.{name}.embedder.weight"
        if known == wanted or not wanted or weight not in state or len(state[weight]) != len(known) + 1:
            continue
        found[weight] = _by_name(state[weight], known, wanted, none_first=kind == "list")
        new, gone = [one for one in wanted if one not in known], [one for one in known if one not in wanted]
        for names, what in ((new, "new, and begin as the mean of the others"), (gone, "not in the model, and left out")):
            if names:
                log.warning("%s: conditioner %s: classes that are %s: %s", where, name, what, ", ".join(names))
    return found


def _by_name(table: Tensor, known: Sequence[str], wanted: Sequence[str], none_first: bool) -> Tensor:
    none, vectors = (table[:1], table[1:]) if none_first else (table[-1:], table[:-1])
    by_name = dict(zip(known, vectors, strict=True))
    rows = torch.stack([by_name.get(one, vectors.mean(dim=0)) for one in wanted])
    return torch.cat([none, rows] if none_first else [rows, none])


def _read(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the meaning of a conditioner's weights, with its defaults: the range or classes of numbers, or the classes."""
    if kind in NUMBER_TYPES:
        return {key: config.get(key, default) for key, default in zip(("min_val", "max_val"), NUMBER_TYPES[kind], strict=True)}
    if kind == "chunk_position":
        return {"most_chunks": config.get("most_chunks", ChunkPositionConfig.model_fields["most_chunks"].default)}
    return {LISTS[kind]: [*config.get(LISTS[kind], ())]} if kind in LISTS else {}


def _in_both(model: Any, config: Mapping[str, Any] | None) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Name, type and both configs of each conditioner of one type that checkpoint and model have."""
    ours = getattr(model, "config", None)  # an autoencoder has none
    now = None if ours is None else ours.model.conditioning
    for one in now.configs if now else ():
        if (before := _config_of(one.id, one.type, config)) is not None:
            yield one.id, one.type, before, one.config


def _config_of(name: str, kind: str, config: Any) -> Mapping[str, Any] | None:
    """What a checkpoint's config, which nobody has checked, says of a conditioner of this type."""
    try:
        configs = config["model"]["conditioning"]["configs"]
        found = next(one["config"] for one in configs if (one["id"], one["type"]) == (name, kind))
    except (TypeError, KeyError, StopIteration):
        return None
    return found if isinstance(found, Mapping) and isinstance(found.get(LISTS.get(kind, ""), []), list | tuple) else None
