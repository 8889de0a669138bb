"""Diffusion over SNAC's hierarchical codes, as a plugin for stable-audio-tools."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without importing it at every start of the interpreter
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"
__all__ = ["load_model", "register"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the interpreter's start-up hook imports this package, and must not pay for torch.
    if name == "register":
        from snac_plugin.plugin.registry import register

        return register
    if name == "load_model":
        from snac_plugin.plugin.loading import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
