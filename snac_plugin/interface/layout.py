"""How the inputs lie on the page, and which of them a mode shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.data.audio_file import read_header
from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.condition_inputs import guided_names
from snac_plugin.interface.condition_controls import mixed
from snac_plugin.interface.controls import BESIDE_MODES, CHANGES, NEGATIVE, OTHER_OPTIONS, PLAIN, SLIDERS, Controls
from snac_plugin.interface.modes import JOINS, MODES, OF_MODES, PLACES, counting, strengths
from snac_plugin.interface.waveform import proposed_part, waveform
from snac_plugin.interface.wording import said, short

EXAMPLES = tuple(sorted(Path(__file__).with_name("examples").glob("*.ogg")))
"""Recordings that the page offers; benchmarks/page_examples.py renders them."""
QUIET: dict[str, Any] = {"api_name": False, "show_progress": "hidden", "queue": False}  # for handlers that only move values
QUEUED = QUIET | {"queue": True, "concurrency_limit": None}  # outside of the queue gradio sends values of gr.JSON as Python's text
NEEDED = ("recording", "edit_repaint", *OF_MODES, *JOINS)
"""Inputs that a mode shows or hides."""
UNTRAINED = " This model was not trained on gaps: known codes are put back in each step, and joins are less smooth."


@dataclass(frozen=True)
class Buttons:
    generate: gr.Button
    stop: gr.Button
    status: gr.HTML  # how far a generation is
    hint: gr.HTML  # what is to do next, above the inputs
    examples: Sequence[gr.Button]  # of `EXAMPLES`
    codec: gr.Button  # lets the recording be heard through the codec

    def place(self) -> None:
        """Put them where they belong: above the result."""
        for one in (self.generate, self.stop, self.status):
            one.render()
        gr.HTML('<button id="snac-listen" hidden></button>', padding=False)  # page.js shows it

    def working(self, works: bool) -> tuple[gr.Button, gr.Button]:
        """Updates that show one in place of the other."""
        return gr.Button(visible=not works), gr.Button(visible=works)


def lay_out(controls: Controls) -> Buttons:
    """Put the inputs on the page, one below the other, inside a gr.Blocks context."""
    put, names = _putting(controls), controls.levels.names
    _say_what_is_guided(controls)
    hint = gr.HTML(visible=False, padding=False, elem_id="snac-hint")
    put("edit_mode")
    says = gr.HTML(elem_classes="snac-says")
    put("recording")
    with gr.Row(elem_classes="snac-actions", equal_height=True) as beside:
        examples = [gr.Button(f"Example: {path.stem}", size="sm", min_width=120) for path in EXAMPLES]
        codec = gr.Button("Through the codec", size="sm", min_width=120, visible=False, elem_id="snac-codec")
    wave = gr.HTML(elem_id="snac-waveform")
    with gr.Row():
        put("edit_repaint_from", "edit_repaint_to")
    put("edit_repaint", "edit_keep_levels")
    with gr.Row(visible=False) as levels:
        put(*strengths(names))
    put("edit_bridge_second")
    _conditions(controls, put)
    put("seconds")
    with gr.Row():
        put("edit_from_second", "seed", "batch_size")
    put("edit_only_new")
    _advanced(controls, put)
    generate = gr.Button("Generate", variant="primary", size="lg", elem_id="snac-generate", render=False)
    stop = gr.Button("Stop", variant="stop", size="lg", visible=False, elem_id="snac-stop", render=False)
    status = gr.HTML(elem_id="snac-status", render=False)
    with gr.Column(visible=False):  # for clients alone
        put(*PLAIN, "edit_strength")
    _follow_mode(controls, says, beside, levels)
    _follow_recording(controls, wave, codec)
    _fill_cleared(controls)
    _take_back(controls, status)
    return Buttons(generate, stop, status, hint, examples, codec)


def _putting(controls: Controls) -> Callable[..., None]:
    def put(*names: str) -> None:
        for name in names:
            controls.components[name].render()

    return put


def _conditions(controls: Controls, put: Callable[..., None]) -> None:
    """What the model is told; the sliders of a mixture lie together, under its shares in words."""
    for control in controls.inputs.values():
        if control.reads.kind != "mixture":
            put(*control.parameters)
            continue
        shares = [controls.components[name] for name in control.parameters]
        say = partial(mixed, control.reads.name.replace("_", " ").capitalize(), control.reads.names)
        with gr.Group():
            words = gr.Markdown(say(*(getattr(one, "value", None) for one in shares)), elem_classes="snac-mixture")
            with gr.Row():
                put(*control.parameters)
        gr.on([one.change for one in shares], say, shares, words, **QUIET)  # type: ignore[attr-defined]
    if "conditioning" in controls.components:
        put("conditioning")


def _say_what_is_guided(controls: Controls) -> None:
    """The input of single scales names what this model reads."""
    box: Any = controls.components["guidance"]
    names = guided_names(controls.config)
    box.label, box.visible = "Guidance by condition", bool(names)
    box.info = f"scales by name, as {','.join(f'{name}=2' for name in names)}"


def _fill_cleared(controls: Controls) -> None:
    """A number box that was cleared shows its own number again as soon as it is left."""
    for name, box in controls.components.items():
        own = getattr(box, "value", None)
        if isinstance(box, gr.Number) and own is not None and name not in PLACES:  # a region that nobody marked is none
            box.blur(None, box, box, js=f"(value) => (value === null || value === '' ? {own} : value)", **QUIET)


def _take_back(controls: Controls, status: gr.HTML) -> None:
    """What was said of a run under the button goes once an input changes."""
    changes = [box.change for box in controls.components.values() if hasattr(box, "change")]
    gr.on(changes, None, status, status, js="(said) => (said && said.includes('snac-at') ? '' : said)", **QUIET)


def _advanced(controls: Controls, put: Callable[..., None]) -> None:
    """Steps, samplers and guidance."""
    names = controls.levels.names
    by_level = [f"steps_{name.lower()}" for name in names]
    with gr.Accordion("Steps, sampler, guidance" if controls.guided else "Steps and sampler", open=False):
        put("steps", "steps_by_level")
        with gr.Row():
            put(*by_level)
        put("sampler", *(name for parameters in SLIDERS.values() for name in parameters), *controls.negative.values())
        put(NEGATIVE, "edit_put_back", *(one for name in BESIDE_MODES for one in CHANGES[name]), *OTHER_OPTIONS)

    def follow(total: int, by_hand: bool) -> list[Any]:
        split = controls.sampling.steps_per_level(names, controls.asked(int(total)))
        return [gr.Slider(interactive=True) if by_hand else gr.Slider(value=count, interactive=False) for count in split]

    total, by_hand = (controls.components[name] for name in ("steps", "steps_by_level"))
    gr.on([total.change, by_hand.change], follow, [total, by_hand], [controls.components[name] for name in by_level], **QUIET)  # type: ignore[attr-defined]


def _follow_mode(controls: Controls, says: gr.HTML, beside: gr.Row, levels: gr.Row) -> None:
    """Show what a mode needs, at once and when another is chosen; `beside` a recording, `levels` for their strengths."""
    names = ("edit_mode", "recording", "edit_keep_levels", "edit_repaint")
    watched, needed = ([controls.components[name] for name in some] for some in (names, NEEDED))
    chunk = controls.network.chunk_frames * controls.levels.frame_samples / controls.levels.sample_rate
    ends = f" Its first and last {chunk / 4:.1f} s change; less than {chunk:.1f} s: a quarter at each end."  # as `edit_of` does

    def shown(*values: Any) -> list[Any]:
        name, counted = values[0], counting(values[0], dict(zip(names, values, strict=True)), controls.levels.names)
        more = ends if name == "Loop" else ""
        more += UNTRAINED if "edit_put_back" in counted and not controls.infills else ""
        trims = name != "Repaint"  # scissors beside the other waveform would seem to mark the part
        looks: dict[str, Any] = {"recording": {"label": MODES[name].recording or "Recording", "editable": trims}}
        rows = [gr.update(visible=one in counted) for one in ("recording", strengths(controls.levels.names)[0])]
        return [MODES[name].says + more, *rows, *(gr.update(visible=one in counted, **looks.get(one, {})) for one in NEEDED)]

    says.value, *updates = shown(controls.first_mode, None, "", "")
    for component, update in zip([beside, levels, *needed], updates, strict=True):
        component.visible = update["visible"]
    gr.on([one.change for one in watched], shown, watched, [says, beside, levels, *needed], **QUIET)  # type: ignore[attr-defined]


def _follow_recording(controls: Controls, wave: gr.HTML, codec: gr.Button) -> None:
    """Draw a recording that is put in, or say what is wrong with it; propose a part to repaint where none of it is marked."""
    names = ("edit_mode", "recording", "edit_repaint", *PLACES)
    (*watched, _, first, last), wave.visible = (asked := [controls.components[name] for name in names]), False

    def drawn(name: str, path: str | None, several: str, *places: float | None) -> list[Any]:
        same = [gr.skip(), gr.skip()]
        if not path:
            return [gr.update(value="", visible=False), gr.update(visible=False), *same]
        try:
            shown = waveform(path, controls.levels, marked=name == "Repaint")
            proposed = same if name != "Repaint" or several else proposed_part(read_header(path)[0], *places)
            return [gr.update(value=shown, visible=bool(MODES[name].recording)), gr.update(visible=True), *proposed]
        except SnacPluginError as error:
            return [gr.update(value=said(str(short(error, path))), visible=True), gr.update(visible=False), *same]

    gr.on([one.change for one in watched], drawn, asked, [wave, codec, first, last], **QUIET)  # type: ignore[attr-defined]
