"""The mean of the weights of several checkpoints of one network, as of a training and of a fine-tuning that began from it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from snac_plugin.checkpoints.reading import Checkpoint
from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.errors import CheckpointError

log = logging.getLogger(__name__)

LITTLE = 0.2
"""A cosine between the weights of two networks, below which they have hardly anything in common: of two trainings it is near 0."""
UNRELATED = "%s and %s have little in common (cosine of their weights %.2f): the mean of two trainings is no model"
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
        if (cosine := _cosine(first.state, other.state)) < LITTLE:
            log.warning(UNRELATED, first.path, other.path, cosine)
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


def _cosine(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Of all matrices of two networks as one vector."""
    pairs = [(value.double(), other[name].double()) for name, value in one.items() if value.is_floating_point() and value.ndim > 1]
    product, *squares = (sum((a * b).sum() for a, b in each) for each in (pairs, *([(v[i], v[i]) for v in pairs] for i in (0, 1))))
    return float(product / (squares[0] * squares[1]) ** 0.5)


def _first_difference(one: Any, other: Any, path: str) -> str | None:
    """Where two JSON values differ, but for what says how to sample."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [key for key in sorted({*one, *other}) if key not in ("sampling", "codec")]  # a codec may lie elsewhere
        differences = (_first_difference(one.get(key), other.get(key), f"{path}.{key}") for key in keys)
        return next((path for path in differences if path), None)
    return None if one == other else path
