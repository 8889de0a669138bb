"""`python -m snac_plugin SCRIPT [ARGS]`: run a script of stable-audio-tools, or any other, with the plugin registered."""

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from snac_plugin.errors import UsageError, did_you_mean


def run(script: str, arguments: Sequence[str]) -> None:
    """Run a script as `python SCRIPT [ARGS]` would: `__main__`, its own folder first on the path, its own arguments."""
    path = Path(script)
    if not os.path.isfile(path):
        from snac_plugin.cli import COMMANDS

        hint = did_you_mean(script, COMMANDS) or "python -m snac_plugin --help lists the commands."
        raise UsageError("python -m snac_plugin", repr(script), "a command or the path of a Python script", hint)
    from snac_plugin.plugin.registry import register

    register()
    sys.argv = [script, *arguments]
    sys.path[0] = str(path.resolve().parent)
    runpy.run_path(script, run_name="__main__")
