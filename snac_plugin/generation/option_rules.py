"""Which options of a request need one another or rule one another out. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snac_plugin.errors import UsageError
from snac_plugin.generation.option import as_written

if TYPE_CHECKING:
    from snac_plugin.generation.request import Request

LENGTHS = ("chunks", "seconds", "sample_size")
BESIDE_RECORDINGS = ("only_new", "match", "width")
"""Options that say something of what is new beside a recording."""


def check_together(request: Request) -> None:
    """UsageError for options that do not go together, whatever the model."""
    options_set = request.options_set
    lengths = [name for name in LENGTHS if name in options_set]
    if len(lengths) > 1:
        found = " and ".join(f"`{name}` {getattr(request, name)}" for name in lengths)
        raise UsageError("length", found, "one of `chunks`, `seconds`, `sample_size`")
    sources = [name for name in ("edit", "before", "bridge", "from_second") if name in options_set]
    if len(sources) > 1:
        raise UsageError(sources[1], f"`{sources[0]}` beside it", f"one of {', '.join(f'`{name}`' for name in sources)}")
    changes = [name for name in ("repaint", "keep_levels", "strength") if name in options_set]
    if changes and request.edit is None:
        raise UsageError(changes[0], "no recording to change", "`edit` beside it")
    if request.edit is not None and not changes and not request.loop:
        raise UsageError("edit", "nothing that changes it", "`repaint`, `keep_levels`, `strength` or `loop` beside it")
    if "keep_levels" in changes and "strength" in changes:
        raise UsageError("strength", "`keep_levels` beside it", "one of them: a strength of 0 keeps a level")
    if request.loop and {"repaint", "before", "bridge"} & {*options_set}:
        raise UsageError("loop", "another place to generate beside it", "`loop` alone, or with `edit`")
    if request.edit is not None and lengths:
        raise UsageError(lengths[0], f"`{lengths[0]}` beside `edit`", "no length: the recording keeps its own")
    if request.put_back and not request.needs_known_frames:
        raise UsageError("put_back", "nothing that is known", "`repaint`, `before`, `bridge` or `loop` beside it")


def check_recording(request: Request, continues: bool) -> None:
    """UsageError for options that need a recording and have none, and for two recordings where one is used.

    `continues`: there is one to continue, which a request does not hold itself.
    """
    if continues and (request.edits or request.loop):
        raise UsageError("context", "a recording to continue", "none beside `edit`, `before`, `bridge` and `loop`")
    if request.from_second is not None and not continues:
        raise UsageError("from_second", as_written(request.from_second), "`context` beside it: a recording to continue")
    for name in () if continues or request.edits else BESIDE_RECORDINGS:
        value = getattr(request, name)
        if value is not None and (value or name != "only_new"):
            advice = "Without a recording all of it is new, mono, and as loud as the model makes it."
            raise UsageError(name, "no recording", "`context`, `edit`, `before` or `bridge` beside it", advice)
