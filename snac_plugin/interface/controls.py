"""The page's inputs, and what their values ask for.

`Controls` lays out one component for each name of the page's `generate` endpoint.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from snac_plugin.config import SnacModelConfig
from snac_plugin.config.network_keys import split_steps
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, SAMPLERS
from snac_plugin.errors import Mismatch
from snac_plugin.levels import Levels
from snac_plugin.output.samples import Request

TEXT_TYPES = ("t5", "clap_text", "phoneme")
NUMBER_TYPES = {"number": (0, 1), "int": (0, 512)}  # with the bounds that their constructors assume
SOLVER = ("sampler", "temperature", "cfg_scale", "cfg_rescale", "cfg_interval_low", "cfg_interval_high")
OTHERS = ("recording", "conditioning", "seconds", "seed", "batch_size", "steps", "steps_by_level", *SOLVER)
CLIENT = ("progress", "api_name", "fn_index", "result_callbacks")  # gradio and its client have these beside the inputs
MOST_CHUNKS = 20
MOST_SAMPLES = 8


class Controls:
    """Inputs for one model. Made inside a gr.Blocks context; `components` holds them by endpoint parameter.

    Args:
        config: the model's checked config.
        levels: the codec's geometry.
    """

    def __init__(self, config: SnacModelConfig, levels: Levels) -> None:
        self.config, self.levels = config, levels
        self.sampling = config.model.diffusion.config.sampling
        self.conditioners = {} if config.model.conditioning is None else {c.id: c for c in config.model.conditioning.configs}
        self.components: dict[str, Component] = {}
        self.text: dict[str, str] = {}  # conditioning key -> endpoint parameter
        self.negative: dict[str, str] = {}

    def lay_out(self) -> gr.Button:
        """Put all inputs on the page, one below the other; the button that generates is what is returned."""
        self._recording()
        self._conditioning()
        self._length()
        self._steps()
        button = gr.Button("Generate", variant="primary", size="lg")
        self._steps_by_level()
        self._solver()
        return button

    def _recording(self) -> None:
        """A recording to continue, for a model that sees earlier chunks."""
        if self.config.model.diffusion.config.context_chunks:
            self._add(
                "recording",
                gr.Audio(None, label="Continue a recording (optional)", type="filepath", sources=["upload", "microphone"]),
            )

    def _conditioning(self) -> None:
        """One input for each conditioner; what has no input of its own is given as JSON."""
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
            elif conditioner.type != "snac_context":  # which a sample may do without
                others.append(key)
        if others:
            self._add("conditioning", gr.Textbox("{}", label=f"{', '.join(others)} (JSON)", lines=2))

    def _length(self) -> None:
        """Length and number of samples, seed, steps."""
        network = self.config.model.diffusion.config
        chunk = network.chunk_frames * self.levels.frame_samples / self.levels.sample_rate
        step = round(chunk / 8, 6)
        self._add(
            "seconds", gr.Slider(step, round(MOST_CHUNKS * chunk, 6), round(chunk, 6), step=step, label="Length of what is new (s)")
        )
        with gr.Row():
            self._add("seed", gr.Number(-1, precision=0, label="Seed", info="-1: a new one", min_width=120))
            samples = gr.Number(
                1,
                precision=0,
                minimum=1,
                maximum=MOST_SAMPLES,
                label="Samples",
                info=f"at once, 1 to {MOST_SAMPLES}",
                min_width=120,
            )
            self._add("batch_size", samples)

    def _steps(self) -> None:
        """Denoising steps in all."""
        names, total = self.levels.names, sum(self.sampling.steps_per_level(self.levels.names))
        slider = gr.Slider(len(names), max(200, total), total, step=1, label="Steps", info="of a chunk, all levels together")
        self._add("steps", slider)

    def _steps_by_level(self) -> None:
        """What each level takes of the steps, or steps set by hand."""
        names, split = self.levels.names, self.sampling.steps_per_level(self.levels.names)
        with gr.Accordion("Steps of each level", open=False):
            by_hand = self._add("steps_by_level", gr.Checkbox(False, label="Set by hand"))
            sliders = []
            for name, count in zip(names, split, strict=True):
                slider = gr.Slider(1, 100, count, step=1, label=f"Level {name}", interactive=False)
                sliders.append(self._add(f"steps_{name.lower()}", slider))

        def follow(total: int, own: bool) -> list[Any]:
            split = split_steps(int(total), self.sampling.weights(names))
            return [gr.Slider(interactive=True) if own else gr.Slider(value=count, interactive=False) for count in split]

        total: Any = self.components["steps"]
        gr.on(
            [total.change, by_hand.change], follow, [total, by_hand], sliders, api_name=False, show_progress="hidden", queue=False
        )

    def _solver(self) -> None:
        """Sampler and guidance; guidance only for a model that something can guide."""
        default = sorted(set(self.sampling.samplers(self.levels.names)))
        choices = list(SAMPLERS[self.config.model.diffusion.diffusion_objective])
        guided = bool(self.conditioners) or self.config.model.diffusion.config.context_chunks > 0
        with gr.Accordion("Sampler and guidance" if guided else "Sampler", open=False):
            mixed = [("each level's own", "")] if len(default) > 1 else []
            options = mixed + [(name, name) for name in choices]
            self._add("sampler", gr.Dropdown(options, value="" if mixed else default[0], label="Sampler"))
            draws = CODE_SAMPLER in choices and self.config.model.diffusion.config.head != "velocity"
            info = "below 1 pingpong-codes draws likely codes more often"
            own = self._temperature
            slider = gr.Slider(min(0.1, own), max(2, own), own, step=0.05, label="Temperature", info=info, visible=draws)
            self._add("temperature", slider)
            low, high = self.sampling.cfg_interval
            sliders = {
                "cfg_scale": gr.Slider(0, 15, self.sampling.cfg_scale, step=0.1, label="Guidance", info="CFG scale; 1 is none"),
                "cfg_rescale": gr.Slider(0, 1, self.sampling.cfg_rescale, step=0.05, label="Rescale of guidance"),
                "cfg_interval_low": gr.Slider(0, 1, low, step=0.01, label="Guidance from noise level"),
                "cfg_interval_high": gr.Slider(0, 1, high, step=0.01, label="Guidance up to noise level"),
            }
            for name, slider in sliders.items():
                slider.visible = guided
                self._add(name, slider)
            texts = [key for key in self.text if self.conditioners[key].type in TEXT_TYPES]
            for key in texts:
                self.negative[key] = self._free_name(f"negative_{self.text[key]}")
                self._add(self.negative[key], gr.Textbox("", label=f"Negative {key.replace('_', ' ')}", lines=1))

    @property
    def _temperature(self) -> float:
        """What the slider shows at first: the levels may have temperatures of their own, which stay until it is moved."""
        return min(self.sampling.temperatures(self.levels.names))

    def request(self, values: Mapping[str, Any]) -> Request:
        """What the values of all components ask for.

        Raises:
            Mismatch: a text that should be JSON and is not.
        """
        steps: int | dict[str, int] = int(values["steps"])
        if values["steps_by_level"]:
            steps = {name: int(values[f"steps_{name.lower()}"]) for name in self.levels.names}
        conditioning = {key: values[name] for key, name in self.text.items()} | _json(values.get("conditioning", "{}"))
        negative = {key: values[name] for key, name in self.negative.items() if values[name]}
        return Request(
            seconds=float(values["seconds"]),
            steps=steps,
            sampler=values["sampler"] or None,
            temperature=None if values["temperature"] == self._temperature else float(values["temperature"]),
            cfg_scale=float(values["cfg_scale"]),
            cfg_rescale=float(values["cfg_rescale"]),
            cfg_interval=(float(values["cfg_interval_low"]), float(values["cfg_interval_high"])),
            conditioning=conditioning or None,
            negative_conditioning={**conditioning, **negative} if negative else None,
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


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise Mismatch("conditioning", repr(text), f"a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise Mismatch("conditioning", repr(text), "a JSON object")
    return value
