"""Moving averages of the weights of several lengths in training, which stable-audio-tools' own average stands beside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snac_plugin.checkpoints.ema_snapshots import gamma_of, write_snapshot
from snac_plugin.checkpoints.weights import is_codec_weight
from snac_plugin.errors import CheckpointError


class PowerAverages:
    """An average for each length (EDM2: Karras et al. 2024, arXiv:2312.02696, eq. 7): after step t

        average <- b average + (1 - b) weights,  b = (1 - 1 / t)^(gamma + 1),

    so that the weights of step t count as t^gamma, whenever training ends. float32, of all weights that are trained.
    """

    def __init__(self, lengths: Sequence[float]) -> None:
        self.lengths = tuple(lengths)
        self.gammas = [gamma_of(length) for length in lengths]
        self.weights: list[dict[str, Tensor]] = [{} for _ in lengths]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`, from 1."""
        now = {name: weight.detach().float() for name, weight in trained(model).items()}
        for gamma, averages in zip(self.gammas, self.weights, strict=True):
            for name, weight in now.items():
                averages[name] = averages[name].to(weight.device) if name in averages else weight.clone()
            torch._foreach_lerp_([averages[name] for name in now], [*now.values()], 1 - (1 - 1 / step) ** (gamma + 1))

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"lengths": list(self.lengths), "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; a CheckpointError if it was trained with other lengths."""
        if tuple(state["lengths"]) != self.lengths:
            advice = "Lengths cannot change within a run; python -m snac_plugin ema rebuilds any other from its snapshots."
            raise CheckpointError("checkpoint", f"ema_lengths {state['lengths']}", f"{[*self.lengths]}, as in the config", advice)
        self.weights = [{name: value.clone() for name, value in averages.items()} for averages in state["weights"]]

    def save(self, folder: Path, model: nn.Module, step: int, content: dict[str, Any]) -> Path:
        """Write a snapshot with the notes `content`."""
        own = {name: value for name, value in model.state_dict().items() if not is_codec_weight(name)}
        rest = {name: value for name, value in own.items() if name not in trained(model)}
        return write_snapshot(folder, step, self.lengths, self.weights, rest, content)


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The weights that are trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad and not is_codec_weight(name)}
