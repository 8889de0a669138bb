"""Demo music: songs composed by program and rendered to audio files, so that training can be tried without a data set."""

from .render import render_demo_music

__all__ = ["render_demo_music"]
