"""Configs for the tests of this folder."""

from copy import deepcopy
from typing import Any

from snac_plugin.levels import Levels

LEVELS_32 = Levels((8, 4, 2, 1), 384, 32, 32000)
LEVELS_24 = Levels((4, 2, 1), 512, None, 24000)

_SMALLEST = {
    "model_type": "diffusion_snac_dit",
    "sample_size": 589824,
    "sample_rate": 32000,
    "audio_channels": 1,
    "model": {
        "pretransform": {"type": "snac_hierarchical", "config": {"codec": "snac_tiny_32khz"}},
        "diffusion": {"type": "snac_dit", "config": {}},
        "io_channels": 120,
    },
    "training": {"learning_rate": 0.0001},
}

MISSING = object()


def example(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A model config that fits, with values put at, or with MISSING removed from, dotted paths."""
    config = deepcopy(_SMALLEST)
    for path, value in (changes or {}).items():
        *folders, key = path.split(".")
        section: Any = config
        for folder in folders:
            section = section.setdefault(folder, {})
        if value is MISSING:
            del section[key]
        else:
            section[key] = value
    return config


def phase(**changes: Any) -> dict[str, Any]:
    """A phase of a curriculum that fits."""
    return {"name": "first", "steps": None, "context": {"0": 1.0}, **changes}
