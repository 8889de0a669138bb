"""What is broken in stable-audio-tools 0.0.19 itself with the tested set, repaired when the plugin registers.

Two sources call themselves 0.0.19: the package on the registry and the repository's head, which has fixed some of this.
Every repair leaves a sound version's behaviour as it is, can be applied twice, and needs no other repair.

| defect | package | head |
|---|---|---|
| a scheduler of type InverseLR passes `verbose`, which torch dropped in 2.7 | yes | no |
| training on an audio folder or WebDataset wants each `padding_mask` wrapped in a list | yes | ARC only |
| a list given as a condition is cut to its first element | yes | no |
| an exception in a demo ends the training run | yes | yes |
| t5 is known by twelve hub names only, not by a folder | yes | yes |
| t5 with `enable_grad` trains in float16, and is NaN after one step of Adam | yes | yes |
| the pretransform conditioner projects frames in place of channels | yes | yes |
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from snac_plugin.errors import ConfigError, did_you_mean
from snac_plugin.plugin.wrapping import Function, Wrapper, wrap

_log = logging.getLogger(__name__)


def _drop_verbose(utils: ModuleType) -> None:
    """Put a base class under InverseLR that takes `verbose` and does not pass it on."""
    (base,) = utils.InverseLR.__bases__
    if hasattr(base, "takes_verbose"):
        return

    class TakesVerbose(base):  # type: ignore[misc, valid-type]
        takes_verbose = True

        def __init__(self, optimizer: Any, last_epoch: int = -1, verbose: bool = False) -> None:
            super().__init__(optimizer, last_epoch)

    utils.InverseLR.__bases__ = (TakesVerbose,)


def _wrap_mask(batch: tuple[Any, Sequence[Mapping[str, Any]]]) -> tuple[Any, list[dict[str, Any]]]:
    """A batch whose metadata holds each padding mask as the training steps expect it, `[mask]`; copies, changes nothing."""
    reals, metadata = batch
    return reals, [
        {**item, "padding_mask": [item["padding_mask"]]} if getattr(item.get("padding_mask"), "ndim", 0) == 1 else dict(item)
        for item in metadata
    ]


def _with_wrapped_masks(training_step: Function) -> Function:
    return lambda self, batch, batch_idx: training_step(self, _wrap_mask(batch), batch_idx)


def _keep_lists(forward: Function) -> Function:
    """Wrap list-valued conditions once more: the one element that is then taken is the list itself."""

    def keep(self: Any, batch_metadata: Sequence[Mapping[str, Any]], device: Any) -> Any:
        keys = {*self.conditioners, *self.default_keys.values()}

        def wrapped(key: str, value: Any) -> Any:
            return [value] if key in keys and isinstance(value, list) and len(value) != 1 else value

        return forward(self, [{key: wrapped(key, value) for key, value in item.items()} for item in batch_metadata], device)

    return keep


def _t5_from_a_folder(build: Function) -> Function:
    """Add a folder to the class's table of names, with the width in its config.json; train in float32 where it trains."""

    def from_a_folder(self: Any, output_dim: int, t5_model_name: str = "t5-base", *args: Any, **kwargs: Any) -> None:
        names, widths, config = self.T5_MODELS, self.T5_MODEL_DIMS, Path(t5_model_name, "config.json")
        if config.is_file():
            self.T5_MODELS, self.T5_MODEL_DIMS = [t5_model_name], {t5_model_name: json.loads(config.read_text())["d_model"]}
        elif t5_model_name not in names or t5_model_name not in widths:
            expected = (
                f"a folder with config.json, weights and tokenizer, or one of {', '.join(name for name in names if name in widths)}"
            )
            advice = did_you_mean(t5_model_name, names)
            raise ConfigError("model.conditioning.configs: t5_model_name", repr(t5_model_name), expected, advice)
        build(self, output_dim, t5_model_name, *args, **kwargs)
        if self.enable_grad:
            self.model.float()

    return from_a_folder


def _project_channels(build: Function) -> Function:
    """Its projection sees [B, C, T], and nn.Linear takes the last axis."""

    def with_channels_projected(self: Any, *args: Any, **kwargs: Any) -> None:
        from torch import nn

        class OverChannels(nn.Linear):
            def forward(self, x: Any) -> Any:
                return super().forward(x.transpose(1, 2)).transpose(1, 2)

        build(self, *args, **kwargs)
        if isinstance(self.proj_out, nn.Linear):
            self.proj_out.__class__ = OverChannels  # its weights keep their names

    return with_channels_projected


def _outlive_failed_demos(make_demo: Function) -> Function:
    def attempt(self: Any, trainer: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        try:
            make_demo(self, trainer, module, *args, **kwargs)
        except Exception:
            _log.exception("The demo at step %d failed; training goes on", trainer.global_step)
            module.train()

    return attempt


def _method(owner: str, name: str, wrapper: Wrapper) -> Callable[[ModuleType], None]:
    return lambda module: wrap(getattr(module, owner), name, wrapper)


TRAINING = "stable_audio_tools.training"
REPAIRS: tuple[tuple[str, Callable[[ModuleType], None]], ...] = (
    (f"{TRAINING}.utils", _drop_verbose),
    ("stable_audio_tools.models.conditioners", _method("MultiConditioner", "forward", _keep_lists)),
    ("stable_audio_tools.models.conditioners", _method("T5Conditioner", "__init__", _t5_from_a_folder)),
    ("stable_audio_tools.models.conditioners", _method("PretransformConditioner", "__init__", _project_channels)),
    (f"{TRAINING}.diffusion", _method("DiffusionCondTrainingWrapper", "training_step", _with_wrapped_masks)),
    (f"{TRAINING}.diffusion", _method("DiffusionCondDemoCallback", "on_train_batch_end", _outlive_failed_demos)),
    (f"{TRAINING}.diffusion", _method("DiffusionCondInpaintDemoCallback", "on_train_batch_end", _outlive_failed_demos)),
    (f"{TRAINING}.arc", _method("ARCTrainingWrapper", "training_step", _with_wrapped_masks)),
    (f"{TRAINING}.autoencoders", _method("AutoencoderDemoCallback", "on_train_batch_end", _outlive_failed_demos)),
)
