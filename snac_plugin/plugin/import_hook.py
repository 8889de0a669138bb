"""Run something right after a module was imported, before anybody binds its names.
The interpreter's start-up imports this, so it imports nothing but sys.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class AfterImport:
    """A finder that lets the others find a module, and calls back once the module's code has run."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Callable[[ModuleType], None]]] = {}
        self.quiet: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in self.actions:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._watch(spec.loader)
                return spec
        return None

    def _watch(self, loader: Any) -> None:
        # Replaced on this one loader object: its class, and what else it can do, stay as they are.
        execute = loader.exec_module
        if getattr(execute, "watched", False):
            return  # one loader may serve many modules

        def exec_module(module: ModuleType) -> None:
            if module.__name__ in self.quiet:
                _execute_quietly(execute, module)
            else:
                execute(module)
            for action in tuple(self.actions.get(module.__name__, ())):
                action(module)

        exec_module.watched = True  # type: ignore[attr-defined]
        loader.exec_module = exec_module


def _execute_quietly(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        execute(module)


finder = AfterImport()


def after_import(name: str, action: Callable[[ModuleType], None]) -> None:
    """Call `action(module)` after each time a module is executed, before its importer sees it, and now if it already was."""
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
    finder.actions.setdefault(name, []).append(action)
    if name in sys.modules:
        action(sys.modules[name])


def import_quietly(name: str) -> None:
    """Let what a module prints while it is executed go nowhere: notices that call for no action."""
    if name not in finder.quiet:
        finder.quiet.add(name)
        after_import(name, lambda module: None)


def hide_notices() -> None:
    """Hide what stable-audio-tools prints while it is imported: that there is no flash_attn."""
    import_quietly("stable_audio_tools.models.transformer")
