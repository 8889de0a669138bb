"""Diffusion over SNAC's hierarchical codes, as a plugin for stable-audio-tools."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without importing it at every start of the interpreter
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"
__all__ = ["load_model", "register"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the interpreter's start-up hook imports this package, and must not pay for torch.
    homes = {"register": "snac_plugin.plugin.registry", "load_model": "snac_plugin.plugin.loading"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from snac_plugin.plugin.import_hook import hide_notices

    hide_notices()
    return getattr(importlib.import_module(homes[name]), name)
