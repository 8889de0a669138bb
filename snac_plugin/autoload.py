"""What the .pth file calls at interpreter start: register the plugin once stable_audio_tools is imported.
It must cost next to nothing there, so it imports nothing but the import hook until then.
"""

from __future__ import annotations

from snac_plugin.plugin import import_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

# The first of its modules that stable_audio_tools imports, and one that imports no other of its modules.
FIRST_MODULE = "stable_audio_tools.models.factory"


def install() -> None:
    """Register the plugin as soon as stable_audio_tools is imported; until then do nothing."""
    if FIRST_MODULE not in import_hook.finder.actions:
        import_hook.after_import(FIRST_MODULE, _register)


def _register(module: ModuleType) -> None:
    """Register, and never be the reason why a program that only wants stable_audio_tools fails."""
    import logging
    import warnings

    from snac_plugin.errors import InstallationError

    try:
        from snac_plugin.plugin.registry import register

        register()
    except InstallationError as error:
        warnings.warn(f"snac_plugin is not registered: {error}", stacklevel=2)
    except Exception as error:
        log = logging.getLogger(__name__)
        log.warning("snac_plugin is not registered, its types are unknown: %s: %s", type(error).__name__, error)
        log.debug("where it failed", exc_info=True)
