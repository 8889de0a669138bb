"""How the inputs lie on the page, and which of them a mode shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.errors import SnacPluginError
from snac_plugin.interface.controls import BESIDE_MODES, CHANGES, OTHER_OPTIONS, PLAIN, SLIDERS, Controls
from snac_plugin.interface.modes import MODES
from snac_plugin.interface.waveform import said, short, waveform

EXAMPLES = tuple(sorted(Path(__file__).with_name("examples").glob("*.ogg")))
"""Recordings that the page offers; benchmarks/page_examples.py renders them."""
QUIET: dict[str, Any] = {"api_name": False, "show_progress": "hidden", "queue": False}  # for handlers that only move values
NEEDED = tuple(dict.fromkeys(name for mode in MODES.values() for name in mode.shows))
"""Inputs that a mode shows or hides."""
UNTRAINED = " This model was not trained on gaps: known codes are put back in each step, and joins are less smooth."


@dataclass(frozen=True)
class Buttons:
    generate: gr.Button
    stop: gr.Button
    status: gr.HTML  # how far a generation is
    examples: Sequence[gr.Button]  # of `EXAMPLES`

    def working(self, works: bool) -> tuple[gr.Button, gr.Button]:
        """Updates that show one in place of the other."""
        return gr.Button(visible=not works), gr.Button(visible=works)


def lay_out(controls: Controls) -> Buttons:
    """Put the inputs on the page, one below the other, inside a gr.Blocks context."""
    put, names = _putting(controls), controls.levels.names
    put("edit_mode")
    says = gr.HTML(elem_classes="snac-says")
    put("recording")
    with gr.Row(elem_classes="snac-actions"):
        examples = [gr.Button(f"Example: {path.stem}", size="sm", min_width=120) for path in EXAMPLES]
    wave = gr.HTML(elem_id="snac-waveform")
    with gr.Row():
        put("edit_repaint_from", "edit_repaint_to")
    put("edit_keep_levels")
    with gr.Row(visible=False) as strengths:
        put(*(f"edit_strength_{name.lower()}" for name in names))
    put("edit_bridge_second", *controls.conditions, "seconds")
    with gr.Row():
        put("edit_from_second", "seed", "batch_size")
    put("edit_only_new")
    _advanced(controls, put)
    generate = gr.Button("Generate", variant="primary", size="lg", elem_id="snac-generate")
    stop = gr.Button("Stop", variant="stop", size="lg", visible=False, elem_id="snac-stop")
    status = gr.HTML(elem_id="snac-status")
    with gr.Column(visible=False):  # for clients alone
        put(*PLAIN, "edit_repaint", "edit_strength")
    _follow_mode(controls, says, wave, strengths)
    return Buttons(generate, stop, status, examples)


def _putting(controls: Controls) -> Callable[..., None]:
    def put(*names: str) -> None:
        for name in names:
            controls.components[name].render()

    return put


def _advanced(controls: Controls, put: Callable[..., None]) -> None:
    """Steps, samplers and guidance."""
    names = controls.levels.names
    by_level = [f"steps_{name.lower()}" for name in names]
    with gr.Accordion("Steps, sampler, guidance" if controls.guided else "Steps and sampler", open=False):
        put("steps", "steps_by_level")
        with gr.Row():
            put(*by_level)
        put("sampler", *(name for parameters in SLIDERS.values() for name in parameters), *controls.negative.values())
        put("edit_put_back", *(one for name in BESIDE_MODES for one in CHANGES[name]), *OTHER_OPTIONS)

    def follow(total: int, by_hand: bool) -> list[Any]:
        split = controls.sampling.steps_per_level(names, controls.asked(int(total)))
        return [gr.Slider(interactive=True) if by_hand else gr.Slider(value=count, interactive=False) for count in split]

    total, by_hand = (controls.components[name] for name in ("steps", "steps_by_level"))
    gr.on([total.change, by_hand.change], follow, [total, by_hand], [controls.components[name] for name in by_level], **QUIET)  # type: ignore[attr-defined]


def _follow_mode(controls: Controls, says: gr.HTML, wave: gr.HTML, strengths: gr.Row) -> None:
    """Show what a mode needs, at once and when another is chosen; draw a recording that is put in."""
    mode, recording, keep = (controls.components[name] for name in ("edit_mode", "recording", "edit_keep_levels"))
    needed = [controls.components[name] for name in NEEDED]

    def shown(name: str, kept: str) -> list[Any]:
        chosen = MODES[name]
        warning = UNTRAINED if name in ("Repaint", "Bridge", "Loop") and not controls.infills else ""
        audio = gr.update(visible=bool(chosen.recording), label=chosen.recording or "Recording")
        strength = gr.update(visible=name == "Vary" and not kept)
        return [chosen.says + warning, audio, strength, *(gr.update(visible=one in chosen.shows) for one in NEEDED)]

    def drawn(name: str, path: str | None) -> Any:
        if not path:
            return gr.update(value="", visible=False)
        try:
            return gr.update(value=waveform(path, controls.levels), visible=name == "Repaint")
        except SnacPluginError as error:
            return gr.update(value=said(short(error, path)), visible=True)

    says.value = shown(controls.first_mode, "")[0]
    wave.visible = False
    for component, update in zip([recording, strengths, *needed], shown(controls.first_mode, "")[1:], strict=True):
        component.visible = update["visible"]
    gr.on([mode.change, keep.change], shown, [mode, keep], [says, recording, strengths, *needed], **QUIET)  # type: ignore[attr-defined]
    gr.on([mode.change, recording.change], drawn, [mode, recording], wave, **QUIET)  # type: ignore[attr-defined]
