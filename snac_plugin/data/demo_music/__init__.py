"""Demo music: songs composed by program and rendered to audio files, so that training can be tried without a data set."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .render import render_demo_music

__all__ = ["SPLITS", "render_demo_music"]

SPLITS = ("train", "held_out")


def __getattr__(name: str) -> Any:
    # Imported on first use: commands name the splits in their flags, and must not wait for numpy then.
    if name != "render_demo_music":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .render import render_demo_music

    return render_demo_music
