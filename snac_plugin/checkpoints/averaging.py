"""The mean of the weights of several checkpoints of one network, as of a training and of a fine-tuning that began from it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from snac_plugin.checkpoints.reading import Checkpoint
from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.errors import CheckpointError

ADVICE = (
    "Only weights of one network with the same conditioners and one codec have a mean: take checkpoints of a run, or of runs that "
    "began from one another and added no conditioner."
)


def mean_of(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The first of one or more checkpoints, with the mean of the weights of all, summed in double precision.

    One that is given twice counts twice.

    Raises:
        CheckpointError: one whose network, codec or weights are not those of the first.
    """
    first, *others = checkpoints
    for other in others:
        _check_alike(first, other)
    state = {
        name: torch.stack([one.state[name].double() for one in checkpoints]).mean(0).float() if value.is_floating_point() else value
        for name, value in first.state.items()
    }
    return replace(first, state=state) if others else first


def _check_alike(first: Checkpoint, other: Checkpoint) -> None:
    """CheckpointError for another network, codec or shape; how networks are trained and sampled may differ."""
    where, source = str(other.path), str(first.path)
    mine, others = ((one.model_config or {}).get("model") for one in (first, other))
    if mine and others and (key := _first_difference(mine, others, "model")):
        raise CheckpointError(where, f"another value of {key} in its config", f"that of {source}", ADVICE)
    codecs = [(one.codec or {}).get("fingerprint") for one in (first, other)]
    if None not in codecs and codecs[0] != codecs[1]:
        raise CheckpointError(where, f"codec fingerprint {codecs[1]}", f"{codecs[0]}, as in {source}", ADVICE)
    check_weights(other.state, first.state, where, f"those of {source}", ADVICE)


def _first_difference(one: Any, other: Any, path: str) -> str | None:
    """Where two JSON values differ, but for what says how to sample."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [key for key in sorted({*one, *other}) if key not in ("sampling", "codec")]  # a codec may lie elsewhere
        differences = (_first_difference(one.get(key), other.get(key), f"{path}.{key}") for key in keys)
        return next((path for path in differences if path), None)
    return None if one == other else path
