"""The one way in which functions and methods of stable-audio-tools are wrapped."""

import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

Function = Callable[..., Any]
Wrapper = Callable[[Function], Function]
"""Takes the original function, returns the one that takes its place."""

MARK = "wrapped_by_snac_plugin"


def wrap(owner: ModuleType | type, name: str, wrapper: Wrapper) -> None:
    """Put `wrapper(original)` in the place of a method, or of a function wherever it was imported, unless that is done already."""
    original = getattr(owner, name)
    if hasattr(original, MARK):
        return
    wrapped = functools.wraps(original)(wrapper(original))
    setattr(wrapped, MARK, True)
    setattr(owner, name, wrapped)
    modules = tuple(sys.modules.values()) if isinstance(owner, ModuleType) else ()
    for module in (module for module in modules if isinstance(module, ModuleType)):
        for key in [key for key, value in vars(module).items() if value is original]:
            setattr(module, key, wrapped)


def arguments_by_name(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the function's parameter names, without those left out."""
    return inspect.signature(function).bind(*args, **kwargs).arguments
