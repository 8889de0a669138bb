"""A model with low-rank adapters from files: which of them act, how strongly, and what they were trained on."""

import logging
from pathlib import Path
from typing import Any, TypeVar

from snac_plugin.checkpoints.adapters import BASE, Adapter, base_fingerprint, read_adapter
from snac_plugin.checkpoints.places import adapter_in
from snac_plugin.errors import CheckpointError, UsageError
from snac_plugin.model import lora as adapters

log = logging.getLogger(__name__)
Model = TypeVar("Model", bound="Adapted")


class Adapted:
    """What `SnacDiffusion` has for adapters of its network."""

    loras: dict[str, float]
    """The adapters that act, with their strengths."""

    def lora(self: Model, *places: str | Path | tuple[str | Path, float]) -> Model:
        """Let low-rank adapters act on the network, in place of those that did; without arguments the model is as it was.

        Args:
            places: files or folders in peft's format, each with a strength behind a colon or in a pair: "runs/mine/lora:0.7".
                Strength 0 is the model without the adapter, 1 the adapter as it was trained. Several add up.

        Returns:
            The model itself; `loras` says which adapters act.

        Raises:
            CheckpointError: no such adapter, or one of another model.
        """
        asked = [place if isinstance(place, tuple) else adapter_in(place) for place in places]
        named = {str(place): float(strength) for place, strength in asked}
        if len(named) < len(asked):
            raise UsageError("lora", ", ".join(str(place) for place, _ in asked), "each adapter once")
        read = [read_adapter(place) for place in named]
        whole: Any = self
        network = whole.model.network
        adapters.remove_adapters(network)
        self.loras = {}
        if read:
            base = base_fingerprint(whole.state_dict())
            for adapter in read:
                _check_base(adapter, base)
            try:
                for index, adapter in enumerate(read):
                    adapters.put_adapter(network, adapter, f"lora_{index}")
            except CheckpointError:
                adapters.remove_adapters(network)
                raise
            adapters.let_act(network, {f"lora_{index}": strength for index, strength in enumerate(named.values())})
            network.to(whole.device)
        self.loras = named
        return self

    def merge_lora(self: Model) -> Model:
        """Add the adapters that act to the network's own weights: a plain model, which needs peft no more."""
        whole: Any = self
        adapters.remove_adapters(whole.model.network, merge=True)
        self.loras = {}
        return self


def _check_base(adapter: Adapter, base: str) -> None:
    """An adapter that does not say what it was trained on may still fit: the log says that nobody knows."""
    where = str(adapter.path)
    if adapter.base is None:
        log.warning("%s does not name the model that it was trained on (%s): it may not be this one", where, BASE)
    elif adapter.base != base:
        found, expected = f"an adapter of the model with the fingerprint {adapter.base}", f"one of this model ({base})"
        raise CheckpointError(where, found, expected, "Name the checkpoint that it was trained from with --ckpt.")
