"""Errors as the page says them: with the names of files, and the labels of its inputs."""

import html
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.errors import Mismatch, SnacPluginError
from snac_plugin.interface.controls import CHANGES, FIXED, SLIDERS, Controls

LABELS = {
    "edit": "Recording",
    "before": "Second recording",
    "bridge": "The two recordings",
    "repaint": "Region to repaint",
    "loop": "Loop",
}
"""What options are called that several inputs make."""


def short(error: SnacPluginError, *files: str | Path) -> SnacPluginError:
    """An error with the names of files in place of their paths."""

    def named(value: object) -> str:
        text = str(value)
        for file in files:
            text = text.replace(str(file), Path(file).name)
        return text

    if isinstance(error, Mismatch):
        return Mismatch(*map(named, (error.where, error.found, error.expected, error.advice)))
    return SnacPluginError(named(error))


def in_words(error: SnacPluginError, controls: Controls) -> str:
    """What an error says, with labels of inputs in place of what the options are called in Python."""
    if not isinstance(error, Mismatch):
        return str(error)
    inputs = {**{name: (name,) for name in FIXED}, **CHANGES, **SLIDERS}
    shown = {name: controls.components[one[0]] for name, one in inputs.items() if one[0] in controls.components}
    labels = {name: str(getattr(component, "label", name)) for name, component in shown.items()}
    return error.message(labels | LABELS)


def hinted(text: str, look: str = "snac-todo") -> dict[str, Any]:
    """An update of the line above the inputs: what is to do next, or nothing."""
    return gr.update(value=f'<p class="{look}" role="status">{html.escape(text)}</p>' if text else "", visible=bool(text))


def said(text: str) -> str:
    """A mistake, shown where it was made."""
    return f'<p class="snac-wrong snac-at" role="alert">{html.escape(text)}</p>'
