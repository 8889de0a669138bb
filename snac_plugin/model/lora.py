"""Low-rank adapters of the network's trunk, by peft: W x + strength * alpha / rank * B A x (Hu et al. 2021, eq. 3).

peft is imported only where adapters are used: it takes seconds.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from snac_plugin.checkpoints.adapters import IN_PEFT, Adapter
from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.config.training_keys import LORA_TARGETS, LoraSection
from snac_plugin.errors import CheckpointError, ConfigError
from snac_plugin.model.network import SnacDiT

TRAINED = "default"
"""peft's name of the adapter that is trained."""


def add_trained_adapter(network: SnacDiT, section: LoraSection) -> None:
    """Freeze a network and put a new adapter on it, which changes nothing yet. ConfigError: it has no such layers."""
    from peft import LoraConfig

    layers = [name for name, module in network.blocks.named_modules() if isinstance(module, nn.Linear)]
    found = [end for end in section.target_modules if any(f".{name}".endswith(f".{end}") for name in layers)]
    unknown = [end for end in section.target_modules if end not in found and end not in LORA_TARGETS]
    if unknown or not found:
        ends = sorted({name.partition(".")[2] for name in layers})
        raise ConfigError("training.lora.target_modules", ", ".join(unknown or section.target_modules), f"of {', '.join(ends)}")
    if section.blocks is not None and (beyond := [index for index in section.blocks if index >= len(network.blocks)]):
        raise ConfigError("training.lora.blocks", beyond[0], f"numbers of blocks from 0 to {len(network.blocks) - 1}")
    network.requires_grad_(False)
    blocks = None if section.blocks is None else list(section.blocks)
    alpha: Any = section.alpha  # peft says int, and takes any number
    config = LoraConfig(
        r=section.rank,
        lora_alpha=alpha,
        lora_dropout=section.dropout,
        target_modules=found,
        layers_to_transform=blocks,
        layers_pattern=None if blocks is None else "blocks",
    )
    _inject(network, config, TRAINED)


def trained_adapter(network: SnacDiT) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The adapter that is trained: arguments of peft's LoraConfig, and weights by peft's names."""
    configs: Any = network.peft_config
    config = configs[TRAINED].to_dict()
    config = {key: sorted(value) if isinstance(value, set) else getattr(value, "value", value) for key, value in config.items()}
    weights = {name: value for name, value in network.state_dict().items() if ".lora_A." in name or ".lora_B." in name}
    return config | {"inference_mode": True}, {f"{IN_PEFT}{name.replace(f'.{TRAINED}.', '.')}": w for name, w in weights.items()}


def put_adapter(network: SnacDiT, adapter: Adapter, name: str) -> None:
    """Put an adapter from a file on a network, not yet acting. CheckpointError: it does not fit."""
    from peft import LoraConfig, set_peft_model_state_dict

    where, options = str(adapter.path), {key: value for key, value in adapter.config.items() if key != "inference_mode"}
    try:
        _inject(network, LoraConfig(**options), name)
    except (TypeError, ValueError) as error:
        raise CheckpointError(where, f"an adapter that peft cannot put on this model ({error})", "one of this model") from error
    names = (n for n in network.state_dict() if f".{name}." in n)
    expected = {f"{IN_PEFT}{n.replace(f'.{name}.', '.')}": network.state_dict()[n] for n in names}
    check_weights(adapter.weights, expected, where, "an adapter of this model", "Use the model that it was trained on.")
    set_peft_model_state_dict(network, adapter.weights, name)
    network.requires_grad_(False)


def let_act(network: SnacDiT, strengths: Mapping[str, float]) -> None:
    """Let adapters act by their names, each at its strength; those left out, or at 0, are passed by."""
    acting = [name for name, strength in strengths.items() if strength]
    for layer in _layers(network):
        layer.set_adapter(acting, inference_mode=True)
        for name in acting:
            layer.set_scale(name, strengths[name])


def remove_adapters(network: SnacDiT, merge: bool = False) -> None:
    """Give the network its own layers back; with `merge` the adapters that act are added to their weights."""
    for path, module in list(network.named_modules()):
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            if merge and (acting := [name for name in module.active_adapters if name in module.lora_A]):
                module.merge(adapter_names=acting)
            parent, _, name = path.rpartition(".")
            setattr(network.get_submodule(parent), name, module.base_layer)
    if hasattr(network, "peft_config"):
        del network.peft_config


def _inject(network: SnacDiT, config: Any, name: str) -> None:
    from peft import inject_adapter_in_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are adapters already
        inject_adapter_in_model(config, network, name)


def _layers(network: SnacDiT) -> list[Any]:
    return [module for module in network.modules() if hasattr(module, "lora_A") and hasattr(module, "base_layer")]
