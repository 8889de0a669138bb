"""The page's inputs, and what their values ask for."""

import keyword
import re
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from snac_plugin.config import SnacModelConfig
from snac_plugin.config.model_keys import NUMBER_TYPES, is_context
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, SAMPLERS
from snac_plugin.errors import UsageError
from snac_plugin.generation.request import EDITING, OPTIONS, WRITING, Request, json_object
from snac_plugin.levels import Levels

TEXT_TYPES = ("t5", "clap_text", "phoneme")
SLIDERS = {
    name: (name,) if len(option.sliders) == 1 else (f"{name}_low", f"{name}_high")
    for name, option in OPTIONS.items()
    if option.sliders
}
"""Endpoint parameters of the options that have sliders."""
FIXED = ("recording", "conditioning", "seconds", "seed", "batch_size", "steps", "steps_by_level", "sampler")
CHANGES = {
    name: (f"edit_{name}",) if name != "bridge" else ("edit_bridge_first", "edit_bridge_second") for name in (*EDITING, *WRITING)
}
"""Endpoint parameters of the options that change recordings, and of those that say what is written."""
OTHERS = (*FIXED, *(parameter for each in (SLIDERS, CHANGES) for parameters in each.values() for parameter in parameters))
"""All endpoint parameters besides the steps of each level and the conditioners' own."""
QUIET: dict[str, Any] = {"api_name": False, "show_progress": "hidden", "queue": False}  # for handlers that only move values
CLIENT = ("request", "progress", "api_name", "fn_index", "result_callbacks")  # gradio and its client have these beside the inputs
RECORDINGS = ("edit", "before", "bridge")
MOST_CHUNKS = 20
MOST_SAMPLES = 8


class Controls:
    """Inputs for one model. Made inside a gr.Blocks context; `components` holds them by parameter of the page's endpoint."""

    def __init__(self, config: SnacModelConfig, levels: Levels) -> None:
        self.config, self.levels, self.network = config, levels, config.model.diffusion.config
        self.sampling = self.network.sampling
        self.conditioners = {} if config.model.conditioning is None else {c.id: c for c in config.model.conditioning.configs}
        self.components: dict[str, Component] = {}
        self.text: dict[str, str] = {}  # conditioning key -> endpoint parameter
        self.negative: dict[str, str] = {}

    def lay_out(self) -> gr.Button:
        """Put all inputs on the page, one below the other; returns the button that generates."""
        if self.network.context_chunks:  # a model that sees earlier chunks can continue a recording
            options: Any = {"sources": ["upload", "microphone"], "type": "filepath"}
            self._add("recording", gr.Audio(None, label="Continue a recording (optional)", **options))
        self._conditioning()
        self._length()
        button = gr.Button("Generate", variant="primary", size="lg")
        self._steps_by_level()
        self._sampler_and_guidance()
        self._changes()
        return button

    def _conditioning(self) -> None:
        """One input for each conditioner; for types without an input of their own a text field of JSON."""
        others = []
        for key, conditioner in self.conditioners.items():
            name = self._free_name(key)
            label = key.replace("_", " ").capitalize()
            if conditioner.type in TEXT_TYPES:
                self._add(name, gr.Textbox("", label=label, lines=2, placeholder="What it should sound like"))
                self.text[key] = name
            elif conditioner.type in NUMBER_TYPES:
                low, high = map(conditioner.config.get, ("min_val", "max_val"), NUMBER_TYPES[conditioner.type])
                step = 1 if conditioner.type == "int" or high - low >= 20 else (high - low) / 100
                self._add(name, gr.Slider(low, high, (low + high) // 2 if step == 1 else (low + high) / 2, step=step, label=label))
                self.text[key] = name
            elif not is_context(conditioner.type):  # which a sample may do without
                others.append(key)
        if others:
            self._add("conditioning", gr.Textbox("{}", label=f"{', '.join(others)} (JSON)", lines=2))

    def _length(self) -> None:
        chunk = self.network.chunk_frames * self.levels.frame_samples / self.levels.sample_rate
        step, most = round(chunk / 8, 6), round(MOST_CHUNKS * chunk, 6)
        self._add("seconds", gr.Slider(step, most, round(chunk, 6), step=step, label="Length of what is new (s)"))
        with gr.Row():
            self._add("seed", gr.Number(-1, precision=0, label="Seed", info="-1: a new one", min_width=120))
            limits: Any = {"minimum": 1, "maximum": MOST_SAMPLES, "info": f"at once, 1 to {MOST_SAMPLES}"}
            self._add("batch_size", gr.Number(1, precision=0, **limits, label="Samples", min_width=120))
        names, total = self.levels.names, sum(self.sampling.steps_per_level(self.levels.names))
        info = "of a chunk, all levels together"
        self._add("steps", gr.Slider(len(names), max(200, total), total, step=1, label="Steps", info=info))

    def _steps_by_level(self) -> None:
        """How the steps are split over the levels, or steps set by hand."""
        names, split = self.levels.names, self.sampling.steps_per_level(self.levels.names)
        with gr.Accordion("Steps of each level", open=False):
            by_hand = self._add("steps_by_level", gr.Checkbox(False, label="Set by hand"))
            sliders = []
            for name, count in zip(names, split, strict=True):
                slider = gr.Slider(1, 100, count, step=1, label=f"Level {name}", interactive=False)
                sliders.append(self._add(f"steps_{name.lower()}", slider))

        def follow(total: int, by_hand: bool) -> list[Any]:
            split = self.sampling.steps_per_level(names, self.asked(int(total)))
            return [gr.Slider(interactive=True) if by_hand else gr.Slider(value=count, interactive=False) for count in split]

        total: Any = self.components["steps"]
        gr.on([total.change, by_hand.change], follow, [total, by_hand], sliders, **QUIET)

    def asked(self, total: int) -> int | None:
        """Steps in all, or None for those of the config, if `total` is their sum."""
        return None if total == sum(self.sampling.steps_per_level(self.levels.names)) else total

    def _sampler_and_guidance(self) -> None:
        """The sampler, and the sliders that a request's options have; each shown if the model can follow it."""
        default = sorted(set(self.sampling.samplers(self.levels.names)))
        choices = list(SAMPLERS[self.config.model.diffusion.diffusion_objective])
        guided = bool(self.conditioners) or self.network.context_chunks > 0
        can = {"": True, "guidance": guided, "drawn codes": CODE_SAMPLER in choices and self.network.head != "velocity"}
        with gr.Accordion("Sampler and guidance" if guided else "Sampler", open=False):
            mixed = [("each level's own", "")] if len(default) > 1 else []
            options = mixed + [(name, name) for name in choices]
            self._add("sampler", gr.Dropdown(options, value="" if mixed else default[0], label="Sampler"))
            for option, parameters in SLIDERS.items():
                for name, slider, value in zip(parameters, OPTIONS[option].sliders, self._default(option), strict=True):
                    low, high = min(slider.low, value), max(slider.high, value)
                    look: dict[str, Any] = {"label": slider.label, "info": slider.info or None, "visible": can[slider.needs]}
                    self._add(name, gr.Slider(low, high, value, step=slider.step, **look))
            for key in (key for key in self.text if self.conditioners[key].type in TEXT_TYPES):
                self.negative[key] = self._free_name(f"negative_{self.text[key]}")
                self._add(self.negative[key], gr.Textbox("", label=f"Negative {key.replace('_', ' ')}", lines=1))

    def _changes(self) -> None:
        """Inputs of the options that change recordings: files, switches, and text as the flags take it."""
        with gr.Accordion("Change a recording", open=False):
            for name, parameters in CHANGES.items():
                option, label = OPTIONS[name], name.replace("_", " ").capitalize()
                for parameter in parameters:
                    if name in RECORDINGS:
                        self._add(parameter, gr.Audio(None, label=f"{label}: {option.help}", type="filepath", sources=["upload"]))
                    elif not option.metavar:
                        self._add(parameter, gr.Checkbox(False, label=label, info=option.help))
                    elif option.choices:
                        self._add(parameter, gr.Dropdown(["", *option.choices], value="", label=label, info=option.help))
                    else:
                        self._add(parameter, gr.Textbox("", label=label, info=option.help, lines=1))

    def _changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the inputs of `_changes` ask for."""
        asked: dict[str, Any] = {}
        for name, parameters in CHANGES.items():
            raw = [values.get(parameter) for parameter in parameters]
            if any(raw):
                asked[name] = tuple(raw) if len(raw) > 1 else raw[0]
                if name not in RECORDINGS and OPTIONS[name].metavar:
                    asked[name] = _parsed(name, str(raw[0]))
        return asked

    def _default(self, option: str) -> tuple[float, ...]:
        """What an option's sliders show at first; for temperature the lowest of the levels' own."""
        if option == "temperature":
            return (min(self.sampling.temperatures(self.levels.names)),)
        value = getattr(self.sampling, option)
        return value if isinstance(value, tuple) else (value,)

    def request(self, values: Mapping[str, Any]) -> Request:
        """The request that the values of all components make; UsageError for bad JSON or a value that fits no model."""
        steps: int | dict[str, int] | None = self.asked(int(values["steps"]))
        if values["steps_by_level"]:
            steps = {name: int(values[f"steps_{name.lower()}"]) for name in self.levels.names}
        moved = {option: tuple(float(values[name]) for name in names) for option, names in SLIDERS.items()}
        sampling: dict[str, Any] = {
            option: value if len(value) > 1 else value[0] for option, value in moved.items() if value != self._default(option)
        }
        conditioning = {key: values[name] for key, name in self.text.items()}
        conditioning |= json_object(values.get("conditioning") or "{}")
        negative = {key: values[name] for key, name in self.negative.items() if values[name]}
        changes = self._changed(values)
        return Request(
            seconds=None if "edit" in changes else float(values["seconds"]),
            steps=steps,
            sampler=values["sampler"] or None,
            conditioning=conditioning or None,
            negative_conditioning={**conditioning, **negative} if negative else None,
            **sampling,
            **changes,
        )

    def _free_name(self, key: str) -> str:
        """A parameter's name for a conditioner: its id, unless Python or another input needs that name."""
        taken = {*OTHERS, *CLIENT, *(f"steps_{level.lower()}" for level in self.levels.names), *self.components}
        name = re.sub(r"\W", "_", key)
        if name in taken or not name.isidentifier() or keyword.iskeyword(name):
            name = f"cond_{name}"
        ends = ("", *(f"_{number}" for number in range(2, len(taken) + 3)))
        return next(name + end for end in ends if name + end not in taken)

    def _add(self, name: str, component: Any) -> Any:
        self.components[name] = component
        return component


def _parsed(name: str, text: str) -> Any:
    """A text input read as its flag is."""
    try:
        return OPTIONS[name].parse(text)
    except ValueError as error:
        raise UsageError(name, repr(text), "a number") from error
