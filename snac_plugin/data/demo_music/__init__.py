"""Demo music: songs composed by program and rendered to audio files, so that training can be tried without a data set."""

from .render import SPLITS, render_demo_music

__all__ = ["SPLITS", "render_demo_music"]
