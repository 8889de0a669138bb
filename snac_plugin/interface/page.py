"""The page: inputs at the left, the sample with its picture, settings and files at the right."""

import inspect
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.chunks import StepCallback, chunks_for
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.interface.controls import CHANGES, QUIET, Controls
from snac_plugin.interface.look import CSS, heading, theme
from snac_plugin.output.make_samples import Recording, Sample, make_samples

Values = Mapping[str, Any]


def create_page(
    model_config: Mapping[str, Any],
    model: SnacDiffusion,
    gradio_title: str = "",
    *,
    folder: str | Path | None = None,
    checkpoint: str | None = None,
) -> gr.Blocks:
    """The page of a model: launch what is returned.

    Its endpoint "/generate" takes the inputs by name (see `Controls`), all with defaults, and gives the first sample's wav,
    picture, seed and settings, and the files of all samples.

    Args:
        model_config: as stable-audio-tools hands it over; the model has its own.
        folder: where samples are written; a temporary folder by default.
        checkpoint: where the model came from, for the samples' settings.
    """
    temporary = tempfile.TemporaryDirectory(prefix="snac_plugin_") if folder is None else None
    title = gradio_title or "SNAC diffusion"
    with gr.Blocks(title=title, theme=theme(), css=CSS, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.HTML(heading(title, _about(model), model.levels))
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=330):
                controls = Controls(model.config, model.levels)
                button = controls.lay_out()
            with gr.Column(scale=8, min_width=420):
                results = _Results()

        def make(values: Values, progress: Callable[..., Any]) -> list[Sample]:
            request = controls.request(values)
            steps = check_request(request, model.config, model.levels.names).steps
            chunks = chunks_for(request.samples(model.chunk_samples, model.sample_rate), model.chunk_samples)
            recording = Recording.read(values["recording"], model.levels) if values.get("recording") else None
            options: Any = {"seed": int(values["seed"]), "count": int(values["batch_size"]), "recording": recording}
            options |= {"callback": _reporter(progress, model.levels.names, steps, chunks), "checkpoint": checkpoint}
            out = folder if temporary is None else temporary.name  # used here, or it would be deleted with its owner
            return list(make_samples(model, request, str(out), progress=False, **options))

        inputs, handler = list(controls.components.values()), _endpoint(make, list(controls.components))
        one_at_a_time: Any = {"concurrency_limit": 1, "concurrency_id": "generate"}
        done = button.click(handler, inputs, results.components, api_name="generate", **one_at_a_time)
        done.success(lambda: gr.Column(visible=True), None, results.details, **QUIET)
        results.seed_again.click(lambda seed: seed, results.seed, controls.components["seed"], **QUIET)
    return page


class _Results:
    """The right side. Made inside a gr.Blocks context."""

    def __init__(self) -> None:
        self.choice = gr.Radio([], label="Sample", visible=False)
        audio = gr.Audio(label="Audio", type="filepath", interactive=False)
        picture = gr.Image(
            label="Picture", show_label=False, type="filepath", interactive=False, height=460, elem_classes="snac-picture"
        )
        with gr.Column(visible=False) as self.details:  # until there is a sample
            with gr.Row():
                self.seed = gr.Number(label="Seed of this sample", precision=0, interactive=False, scale=2, min_width=160)
                self.seed_again = gr.Button("Use this seed again", size="md", scale=1, min_width=160, elem_classes="snac-again")
            files = gr.File(label="Files", file_count="multiple", interactive=False)
            with gr.Accordion("Settings of this sample", open=False):
                settings = gr.JSON(label="Settings", show_label=False)
        samples = gr.State([])
        shown = [audio, picture, self.seed, settings]
        self.components = [*shown, files, self.choice, samples]
        self.choice.input(lambda index, samples: samples[index], [self.choice, samples], shown, **QUIET)


def _endpoint(make: Callable[[Values, Callable[..., Any]], list[Sample]], names: Sequence[str]) -> Callable[..., Any]:
    """A handler whose parameters bear the inputs' names, as clients of the page see them."""

    def generate(*arguments: Any) -> tuple[Any, ...]:
        *values, progress = arguments
        try:
            samples = make(dict(zip(names, values, strict=True)), progress)
        except SnacPluginError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from None
        shown = [(str(s.files.wav), str(s.files.picture), s.seed, s.settings) for s in samples]
        files = [str(path) for s in samples for path in (s.files.wav, s.files.picture, s.files.json)]
        choices = [(f"seed {s.seed}", index) for index, s in enumerate(samples)]
        return *shown[0], files, gr.Radio(choices=choices, value=0, visible=len(samples) > 1), shown

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    optional = {name for each in CHANGES.values() for name in each}  # they come last; clients need not name a file for them
    parameters = [inspect.Parameter(name, kind, default=None if name in optional else inspect.Parameter.empty) for name in names]
    parameters.append(inspect.Parameter("progress", kind, default=gr.Progress()))
    generate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    generate.__doc__ = "Generate samples: the wav, picture, seed and settings of the first, and the files of all."
    return generate


def _reporter(progress: Callable[..., Any], names: str, steps: Sequence[int], chunks: int) -> StepCallback:
    """Shows each denoising step on the page's bar."""

    def report(chunk: int, level: int, step: int) -> None:
        done, total = chunk * sum(steps) + sum(steps[:level]) + step + 1, max(chunks, chunk + 1)  # a recording may need more
        place = f"chunk {chunk + 1} of {total}, " if total > 1 else ""
        progress((done, total * sum(steps)), desc=f"{place}level {names[level]}, step {step + 1} of {steps[level]}", unit="steps")

    return report


def _about(model: SnacDiffusion) -> str:
    weights = sum(p.numel() for p in model.model.parameters())
    codec, chunk = Path(model.pretransform.codec_name).name, model.chunk_samples / model.sample_rate
    grid = f"{model.sample_rate / 1000:g} kHz, levels {' '.join(model.levels.names)}"
    return f"{weights / 1e6:.3g} M weights · codec {codec}, {grid} · chunks of {chunk:.3f} s"
