"""Training of low-rank adapters alone: the model below them is frozen, and neither averaged nor stored twice."""

from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.adapters import NOTE, base_fingerprint, write_adapter
from snac_plugin.config import TrainingSection
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.lora import add_trained_adapter, trained_adapter
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper


class LoraTrainingWrapper(SnacDiffusionTrainingWrapper):
    """Trains the adapters of `training.lora` on a model as it is; arguments as of its base class."""

    def __init__(self, model: SnacDiffusion, training: TrainingSection, model_config: dict[str, Any], seed: int = 0) -> None:
        assert training.lora is not None
        self.base = base_fingerprint(model.state_dict())
        self.scale = training.lora.alpha / training.lora.rank
        model.requires_grad_(False)
        add_trained_adapter(model.model.network, training.lora)
        super().__init__(model, training, model_config, seed)
        if self.diffusion_ema is not None:
            self._share_frozen_weights()

    def _share_frozen_weights(self) -> None:
        """The moving average holds the frozen weights themselves, no copies: half the memory, and half the checkpoint."""
        averaged, frozen = self.diffusion_ema.ema_model, set()
        for name, weight in self.diffusion.model.named_parameters():
            if not weight.requires_grad:
                path, _, last = name.rpartition(".")
                setattr(averaged.get_submodule(path), last, weight)
                frozen.add(name)
        self.diffusion_ema.ignore_names = frozen

    def save_adapter(self, folder: Path) -> Path:
        """Write the adapter as it is now, averaged where there is an average, in peft's format; returns the folder."""
        model = self.diffusion.model if self.diffusion_ema is None else self.diffusion_ema.ema_model
        return write_adapter(folder, *trained_adapter(model.network), self.base)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint[NOTE] = {"scale": self.scale, "base": self.base}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As the base class does; the model below the adapters is the checkpoint's."""
        if NOTE not in checkpoint:
            advice = "Start a new run from it with --pretrained-ckpt-path."
            raise CheckpointError("checkpoint", "one of a training of all weights", "one of training.lora", advice)
        super().on_load_checkpoint(checkpoint)
        self.base = checkpoint[NOTE]["base"]
