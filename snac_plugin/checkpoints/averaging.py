"""The mean of the weights of several checkpoints of one network, as of a training and of a fine-tuning that began from it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from snac_plugin.checkpoints.config_inside import differences
from snac_plugin.checkpoints.reading import Checkpoint
from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.errors import CheckpointError

log = logging.getLogger(__name__)

OTHERWISE_SAMPLED = ("sampling", "codec")
"""Keys of a model's config that may differ: how it is sampled, and where its codec lies."""
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
    differs = next(differences(mine, others, "model", OTHERWISE_SAMPLED), None) if mine and others else None
    if differs is not None:
        raise CheckpointError(where, f"another value of {differs[0]} in its config", f"that of {source}", ADVICE)
    codecs = [(one.codec or {}).get("fingerprint") for one in (first, other)]
    if None not in codecs and codecs[0] != codecs[1]:
        raise CheckpointError(where, f"codec fingerprint {codecs[1]}", f"{codecs[0]}, as in {source}", ADVICE)
    check_weights(other.state, first.state, where, f"those of {source}", ADVICE)


def _cosine(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Of the matrices of two networks, all of a network as one vector."""
    names = [name for name, value in one.items() if value.is_floating_point() and value.ndim > 1]
    first, second = (torch.cat([state[name].float().flatten() for name in names]) for state in (one, other))
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
