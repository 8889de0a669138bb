"""Weights of a checkpoint for a model that has other conditioners: new parts start fresh, and the log says which."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from snac_plugin.checkpoints.weights import is_codec_weight
from snac_plugin.errors import CheckpointError

log = logging.getLogger(__name__)

CONDITIONING = re.compile(
    r"conditioner\.conditioners\.[^.]+|model\.network\.(?:embed_(?:cross|global|prepended|concat)|blocks\.\d+\.(?:norm_)?cross)"
)
"""The parts of a model that exist for its conditioners' sake."""
WIDENED = {"embed_global.0.weight": "global_cond_ids", "embed_concat": "input_concat_ids"}
"""Weights with a column for each channel of the conditioners in a list."""


def with_new_parts(model: Any, state: Mapping[str, Tensor], config: Mapping[str, Any] | None, where: str) -> dict[str, Tensor]:
    """Weights that fit the model: those of its new conditioners as they are now, without those of conditioners it does not have.

    Conditioners added behind others in global_cond_ids or input_concat_ids get columns of zeros: the model starts as it was.
    `config` is the checkpoint's own. CheckpointError: the checkpoint's own ids are no longer the first of such a list.
    """
    expected = {name: value for name, value in model.state_dict().items() if not is_codec_weight(name)}
    kept = {name: value for name, value in state.items() if name in expected or not CONDITIONING.match(name)}
    fresh = {name: value for name, value in expected.items() if name not in state and CONDITIONING.match(name)}
    for name, value in kept.items():
        ids = next((ids for part, ids in WIDENED.items() if f"network.{part}" in name), None)
        if ids is not None and expected[name].shape[0] == value.shape[0] and expected[name].shape[1] > value.shape[1]:
            _check_order(model, config, ids, where)
            kept[name] = expected[name].new_zeros(expected[name].shape)
            kept[name][:, : value.shape[1]] = value
    for names, what in ((fresh, "new, and starts fresh"), (state.keys() - kept.keys(), "not in the model, and left out")):
        for part in _parts(names):
            log.warning("%s: %s is %s", where, part, what)
    return kept | fresh


def _check_order(model: Any, config: Mapping[str, Any] | None, ids: str, where: str) -> None:
    before = ((config or {}).get("model", {}).get("diffusion", {})).get(ids)
    now = list(getattr(model.config.model.diffusion, ids))
    if before is not None and now[: len(before)] == list(before):
        return
    found = f"{ids} {', '.join(before)}" if before is not None else f"no config that says its {ids}"
    expected = f"those ids first in the model config's {ids}, in the same order"
    raise CheckpointError(where, found, expected, "Put new ids behind them.")


def _parts(names: Iterable[str]) -> list[str]:
    """The conditioners and parts of the network that weights belong to, without the numbers of blocks."""
    found = {match[0] for name in names if (match := CONDITIONING.match(name))}
    return sorted({re.sub(r"blocks\.\d+", "blocks", part).replace("conditioner.conditioners.", "conditioner ") for part in found})
