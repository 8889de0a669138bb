"""The page's inputs, and what their values ask for."""

import keyword
import re
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from snac_plugin.config import SnacModelConfig
from snac_plugin.config.model_keys import is_context
from snac_plugin.diffusion.sampler_names import DRAWING, SAMPLERS
from snac_plugin.errors import UsageError
from snac_plugin.generation.condition_inputs import condition_inputs, may_be_left_out
from snac_plugin.generation.option_rules import LENGTHS
from snac_plugin.generation.request import CHANGING, EDITING, OPTIONS, WRITING, Request
from snac_plugin.interface.condition_controls import TEXT_TYPES, ConditionControl, add_inputs, has_input, is_later, json_in, told
from snac_plugin.interface.limits import MOST_CHUNKS, MOST_SAMPLES
from snac_plugin.interface.modes import JOINS, MODES, PLACES, counting, strengths
from snac_plugin.levels import Levels

SLIDERS = {
    name: (name,) if len(option.sliders) == 1 else (f"{name}_low", f"{name}_high")
    for name, option in OPTIONS.items()
    if option.sliders
}
"""Endpoint parameters of the options that have sliders."""
NEWEST = ("top_p", "added_noise", "cfg_schedule")
"""Options whose inputs come after all others, so that clients that name no parameters get what they got."""
FIXED = ("recording", "conditioning", "seconds", "seed", "batch_size", "steps", "steps_by_level", "sampler")
CHANGES = {
    name: (f"edit_{name}",) if name != "bridge" else ("edit_bridge_first", "edit_bridge_second") for name in (*EDITING, *WRITING)
}
"""Endpoint parameters of the options that change recordings, and of those that say what is written."""
BESIDE_MODES = tuple(name for name in CHANGES if name not in CHANGING)
"""Options among them that any mode may have."""
OF_CHANGES = tuple(parameter for name in CHANGING for parameter in CHANGES[name])
"""Endpoint parameters of the others."""
_WITH_INPUTS = {*SLIDERS, *CHANGES, *FIXED, *LENGTHS, "negative_conditioning"}
OTHER_OPTIONS = tuple(name for name, option in OPTIONS.items() if option.help and name not in _WITH_INPUTS)
"""Options without an input of their own: text, as their flag takes it."""
BY_MODE = ("edit_mode", *PLACES)
NEGATIVE = "negative_conditioning"
OTHERS = (
    *FIXED,
    *(parameter for each in (SLIDERS, CHANGES) for parameters in each.values() for parameter in parameters),
    *BY_MODE,
    *OTHER_OPTIONS,
    NEGATIVE,
)
"""All endpoint parameters besides those of each level and the conditioners' own."""
OF_LEVELS = ("steps_", "edit_strength_")
"""What the endpoint parameters of each level begin with."""
PLAIN = ("edit_edit", "edit_before", "edit_bridge_first", "edit_loop")
"""For clients that know no modes: with one of them, the options that change recordings are taken as the command takes them."""
CLIENT = ("request", "progress", "api_name", "fn_index", "result_callbacks")  # gradio and its client have these beside the inputs
RECORDINGS = ("edit", "before", "bridge")
STRENGTHS = (0.0, 0.2, 0.3, 0.5)
"""What the sliders of strength show first, the last one for further levels: a near variation."""


class Controls:
    """Inputs for one model, by parameter of the page's endpoint in `components`; `interface.layout` puts them on the page."""

    def __init__(self, config: SnacModelConfig, levels: Levels) -> None:
        self.config, self.levels, self.network = config, levels, config.model.diffusion.config
        self.sampling = self.network.sampling
        self.conditions = {one.name: one for one in condition_inputs(config) if not is_context(one.type)}
        self.left_out = may_be_left_out(config)
        self.guided = bool(condition_inputs(config)) or self.network.context_chunks > 0
        training = config.training
        self.infills = training is not None and training.infill is not None and bool(training.infill.share)
        self.modes = [name for name in MODES if name != "Continue" or self.network.context_chunks]
        self.first_mode = "Continue" if "Continue" in self.modes else "From nothing"
        self.components: dict[str, Component] = {}
        self.inputs: dict[str, ConditionControl] = {}  # by conditioning key
        self.negative: dict[str, str] = {}  # conditioning key -> endpoint parameter
        for make in (self._recording, self._conditioning, self._length, self._steps, self._sampler_and_guidance, self._changes):
            make()
        self._modes()
        self._later_conditions()
        self._add_options(*NEWEST)

    def _recording(self) -> None:
        label = MODES[self.modes[0]].recording or "Recording"
        self._add(
            "recording", gr.Audio, None, label=label, sources=["upload", "microphone"], type="filepath", elem_id="snac-recording"
        )

    def _conditioning(self) -> None:
        """Inputs of the conditioners that had some from the first on, and a text field of JSON for the others."""
        found = self.conditions.values()
        for one in (one for one in found if has_input(one) and not is_later(one)):
            self.inputs[one.name] = add_inputs(one, self._free_name, self._add, one.name in self.left_out)
        others = [one for one in found if is_later(one) or not has_input(one)]
        if others or any(one.type == "list" for one in found):  # which were JSON once, and clients may still give them so
            lacking = [one.name for one in others if not has_input(one) and one.needed]
            label = f"{', '.join(lacking)} (JSON)"
            self._add("conditioning", gr.Textbox, "{}", label=label, lines=2, visible=bool(lacking))

    def _later_conditions(self) -> None:
        """Inputs of the other conditioners, and what guidance leads away from besides texts."""
        for one in (one for one in self.conditions.values() if is_later(one)):
            self.inputs[one.name] = add_inputs(one, self._free_name, self._add, one.name in self.left_out)
        info = "what guidance leads away from, besides texts; conditions that are left out are dropped"
        visible = any(one.type not in TEXT_TYPES for one in self.conditions.values())
        self._add(NEGATIVE, gr.Textbox, "{}", label="Negative conditions (JSON)", info=info, lines=1, visible=visible)

    def _length(self) -> None:
        chunk = self.network.chunk_frames * self.levels.frame_samples / self.levels.sample_rate
        step, most = round(chunk / 8, 6), round(MOST_CHUNKS * chunk, 6)
        self._add("seconds", gr.Slider, step, most, round(chunk, 6), step=step, label="Length of what is new (s)")
        self._add("seed", gr.Number, -1, precision=0, label="Seed", info="-1: a new one", min_width=150, elem_id="snac-seed")
        self._add(  # without limits of its own, which gradio would tell in its words, and with a traceback in the log
            "batch_size", gr.Number, 1, precision=0, info=f"at once, 1 to {MOST_SAMPLES}", label="Samples", min_width=90
        )

    def _steps(self) -> None:
        """How many steps, and how they are split over the levels, or steps set by hand."""
        names, split = self.levels.names, self.sampling.steps_per_level(self.levels.names)
        info, total = "of a chunk, all levels together", sum(split)
        self._add("steps", gr.Slider, len(names), max(200, total), total, step=1, label="Steps", info=info)
        self._add("steps_by_level", gr.Checkbox, False, label="Set the steps of each level by hand")
        for name, count in zip(names, split, strict=True):
            self._add(
                f"steps_{name.lower()}", gr.Slider, 1, 100, count, step=1, label=f"Level {name}", interactive=False, min_width=150
            )

    def asked(self, total: int) -> int | None:
        """Steps in all, or None for those of the config, if `total` is their sum."""
        return None if total == sum(self.sampling.steps_per_level(self.levels.names)) else total

    def _sampler_and_guidance(self) -> None:
        """The sampler, and the sliders that a request's options have; each shown if the model can follow it."""
        default = sorted(set(self.sampling.samplers(self.levels.names)))
        choices = list(SAMPLERS[self.config.model.diffusion.diffusion_objective])
        mixed = [("each level's own", "")] if len(default) > 1 else []
        options = mixed + [(name, name) for name in choices]
        self._add("sampler", gr.Dropdown, options, value="" if mixed else default[0], label="Sampler")
        self._add_options(*(name for name in SLIDERS if name not in NEWEST))
        for key in (key for key, one in self.inputs.items() if one.reads.type in TEXT_TYPES):
            self.negative[key] = self._free_name(f"negative_{self.inputs[key].parameters[0]}")
            self._add(self.negative[key], gr.Textbox, "", label=f"Negative {key.replace('_', ' ')}", lines=1)

    def _add_sliders(self, option: str, parameters: tuple[str, ...]) -> None:
        draws = bool({*DRAWING} & {*SAMPLERS[self.config.model.diffusion.diffusion_objective]}) and self.network.head != "velocity"
        can = {"": True, "guidance": self.guided, "drawn codes": draws}
        for name, slider, value in zip(parameters, OPTIONS[option].sliders, self._default(option), strict=True):
            low, high = min(slider.low, value), max(slider.high, value)
            look: dict[str, Any] = {"label": slider.label, "info": slider.info or None, "visible": can[slider.needs]}
            self._add(name, gr.Slider, low, high, value, step=slider.step, **look)

    def _add_options(self, *names: str) -> None:
        for name in names:
            option, label = OPTIONS[name], name.replace("_", " ").capitalize()
            if option.sliders:
                self._add_sliders(name, SLIDERS[name])
            elif option.choices:
                self._add(name, gr.Dropdown, ["", *option.choices], value="", label=label, info=option.help)
            else:
                self._add(name, gr.Textbox, "", label=label, info=option.help, lines=1)

    def _changes(self) -> None:
        """Inputs of the options that change recordings: files, switches, and text as the flags take it."""
        kept = [self.levels.names[:count] for count in range(1, len(self.levels))]
        for name, parameters in CHANGES.items():
            option, label = OPTIONS[name], name.replace("_", " ").capitalize()
            for parameter in parameters:
                if name in RECORDINGS:
                    label = "Second recording" if parameter == "edit_bridge_second" else f"{label}: {option.help}"
                    self._add(parameter, gr.Audio, None, label=label, type="filepath", sources=["upload"])
                elif name == "keep_levels":
                    choices = [*((one, one) for one in kept), ("by strength", "")]
                    self._add(
                        parameter, gr.Radio, choices, value="", label="Levels that stay", info="all finer ones are drawn anew"
                    )
                elif name == "from_second":
                    self._add(parameter, gr.Number, None, label="From second", info="0: its end", min_width=90)
                elif option.choices:
                    self._add(parameter, gr.Dropdown, ["", *option.choices], value="", label=label, info=option.help)
                elif not option.metavar:
                    self._add(parameter, gr.Checkbox, False, label=label, info=option.help)
                else:
                    self._add(parameter, gr.Textbox, "", label=label, info=option.help, lines=1)

    def _modes(self) -> None:
        """The mode, and inputs that only modes have."""
        self._add("edit_mode", gr.Radio, self.modes, value=self.first_mode, label="What to make", elem_classes="snac-modes")
        seconds: Any = {"step": 0.01, "min_width": 120}
        self._add("edit_repaint_from", gr.Number, 0, label="From (s)", elem_id="snac-from", **seconds)
        self._add("edit_repaint_to", gr.Number, 1, label="To (s)", elem_id="snac-to", **seconds)
        for level, name in enumerate(self.levels.names):
            value, look = STRENGTHS[min(level, len(STRENGTHS) - 1)], {"label": f"Strength, level {name}", "min_width": 150}
            self._add(f"edit_strength_{name.lower()}", gr.Slider, 0, 1, value, step=0.05, **look)
        self._add_options(*(name for name in OTHER_OPTIONS if name not in NEWEST))

    def _changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What clients that know no modes ask for."""
        asked: dict[str, Any] = {}
        for name, parameters in CHANGES.items():
            raw = [values.get(parameter) for parameter in parameters]
            if any(raw):
                asked[name] = tuple(raw) if len(raw) > 1 else raw[0]
                if name not in RECORDINGS and OPTIONS[name].metavar:
                    asked[name] = OPTIONS[name].read(name, str(raw[0]))
        return asked

    def _default(self, option: str) -> tuple[float, ...]:
        """What an option's sliders show at first; of values by level the lowest."""
        if option in ("temperature", "top_p"):
            names = self.levels.names
            return (min(self.sampling.temperatures(names) if option == "temperature" else self.sampling.top_ps(names)),)
        value = getattr(self.sampling, option)
        return value if isinstance(value, tuple) else (value,)

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with an input's own one wherever it was cleared."""
        own = {name: getattr(component, "value", None) for name, component in self.components.items()}
        return {name: own[name] if values.get(name) is None else values[name] for name in own}

    def mode(self, values: Mapping[str, Any]) -> str:
        """The mode that counts; "" for clients that name recordings themselves."""
        return "" if any(values.get(name) for name in PLAIN) else values["edit_mode"]

    def counted(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with an input's own one wherever it does not count: what the page does not show."""
        own, idle = self.filled({}), self._idle(values)
        return {name: own[name] if name in idle else value for name, value in self.filled(values).items()}

    def refuse_idle(self, values: Mapping[str, Any]) -> None:
        """UsageError for an input that says something and does not count in its mode; for clients, to whom nothing is hidden."""
        values, own = self.filled(values), self.filled({})
        mode = self.mode(values)
        beside = f"in the mode {mode}" if mode else f"beside {next(name for name in PLAIN if values.get(name))}"
        for name in self._idle(values):
            if values[name] != own[name] and (values[name] or own[name]):
                raise UsageError(name, repr(values[name]), f"nothing {beside}, where it would do nothing")

    def _idle(self, values: Mapping[str, Any]) -> list[str]:
        """The inputs that do not count."""
        values, names = self.filled(values), self.levels.names
        if mode := self.mode(values):
            counted = counting(mode, values, names)
        else:  # clients that know no modes
            counted = {*OF_CHANGES, *JOINS} | ({"seconds"} if not values["edit_edit"] else set())
        of_modes = ("recording", *OF_CHANGES, *JOINS, *PLACES, *strengths(names), "seconds", *(() if mode else ("edit_mode",)))
        return [name for name in of_modes if name not in counted]

    def request(self, values: Mapping[str, Any]) -> Request:
        """The request that the values of all components make; UsageError for bad JSON or a value that fits no model."""
        values = self.filled(values)
        steps: int | dict[str, int] | None = self.asked(int(values["steps"]))
        if values["steps_by_level"]:
            steps = {name: int(values[f"steps_{name.lower()}"]) for name in self.levels.names}
        moved = {option: tuple(float(values[name]) for name in names) for option, names in SLIDERS.items()}
        sampling: dict[str, Any] = {
            option: value if len(value) > 1 else value[0] for option, value in moved.items() if value != self._default(option)
        }
        conditioning = told(self.inputs.values(), values) | json_in(values, "conditioning")
        negative = json_in(values, NEGATIVE) | {key: values[name] for key, name in self.negative.items() if values[name]}
        mode = self.mode(values)
        changes = MODES[mode].options(values, self.levels.names) if mode else self._changed(values)
        known = {"repaint", "before", "bridge", "loop"} & changes.keys()
        if mode:
            changes |= self._changed({one: values[one] for name in BESIDE_MODES for one in CHANGES[name]})
        changes |= {name: OPTIONS[name].read(name, values[name]) for name in OTHER_OPTIONS if values[name]}
        if "guidance" in changes:  # beside which no scale would be 1
            sampling["cfg_scale"] = float(values["cfg_scale"])
        if mode and known and (values["edit_put_back"] or not self.infills):  # which the page says
            changes["put_back"] = True
        return Request(
            seconds=None if "edit" in changes else float(values["seconds"]),
            steps=steps,
            sampler=values["sampler"] or None,
            conditioning=conditioning or None,
            negative_conditioning=negative or None,
            **sampling,
            **changes,
        )

    def _free_name(self, key: str) -> str:
        """A parameter's name for a conditioner: its id, unless Python or another input needs that name."""
        of_levels = {f"{start}{level.lower()}" for start in OF_LEVELS for level in self.levels.names}
        taken = {*OTHERS, *CLIENT, *of_levels, *self.components}
        name = re.sub(r"\W", "_", key)
        if name in taken or not name.isidentifier() or keyword.iskeyword(name):
            name = f"cond_{name}"
        ends = ("", *(f"_{number}" for number in range(2, len(taken) + 3)))
        return next(name + end for end in ends if name + end not in taken)

    def _add(self, name: str, kind: Any, *args: Any, **options: Any) -> None:
        own = f"snac-own-{args[2]} " if kind is gr.Slider else ""  # page.js gives it back where it is cleared
        self.components[name] = kind(*args, render=False, **options | {"elem_classes": own + options.get("elem_classes", "")})
