"""The page: inputs at the left, the sample with its picture, settings and files at the right."""

import contextlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.chunks import StepCallback, chunks_for
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.stages import Stopped
from snac_plugin.interface.controls import QUIET, Controls
from snac_plugin.interface.look import CSS, heading, progress_bar, theme
from snac_plugin.interface.runs import Progress, Runs, Tell
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
                stop = gr.Button("Stop", variant="stop", size="lg", visible=False)
            with gr.Column(scale=8, min_width=420):
                results = _Results()

        def make(values: Values, tell: Tell) -> list[Sample]:
            request = controls.request(values)
            steps = check_request(request, model.config, model.levels.names).steps
            chunks = chunks_for(request.samples(model.chunk_samples, model.sample_rate), model.chunk_samples)
            recording = Recording.read(values["recording"], model.levels) if values.get("recording") else None
            options: Any = {"seed": int(values["seed"]), "count": int(values["batch_size"]), "recording": recording}
            options |= {"callback": _reporter(tell, model.levels.names, steps, chunks), "checkpoint": checkpoint}
            out = folder if temporary is None else temporary.name  # used here, or it would be deleted with its owner
            samples: list[Sample] = []
            with contextlib.suppress(Stopped):
                for sample in make_samples(model, request, str(out), progress=False, **options):
                    samples.append(sample)
            return samples

        runs, inputs = Runs(), list(controls.components.values())
        handler = _endpoint(runs, make, list(controls.components), results)
        both = [button, stop]
        asked = button.click(_asked(runs), None, both, **QUIET)
        one_at_a_time: Any = {"concurrency_limit": 1, "concurrency_id": "generate", "show_progress": "minimal"}
        done = asked.then(handler, inputs, [*results.components, results.status], api_name="generate", **one_at_a_time)
        done.then(lambda: (gr.Button(visible=True), gr.Button(visible=False)), None, both, **QUIET)
        done.success(lambda: gr.Column(visible=True), None, results.details, **QUIET)
        stop.click(_stop(runs), None, None, **QUIET)
        results.seed_again.click(lambda seed: seed, results.seed, controls.components["seed"], **QUIET)
    return page


class _Results:
    """The right side. Made inside a gr.Blocks context."""

    def __init__(self) -> None:
        self.status = gr.HTML("")
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

    def of(self, samples: Sequence[Sample], said: str) -> tuple[Any, ...]:
        """What the components show of samples, and the status."""
        shown = [(str(s.files.wav), str(s.files.picture), s.seed, s.settings) for s in samples]
        files = [str(path) for s in samples for path in (s.files.wav, s.files.picture, s.files.json)]
        choices = [(f"seed {s.seed}", index) for index, s in enumerate(samples)]
        return *shown[0], files, gr.Radio(choices=choices, value=0, visible=len(samples) > 1), shown, said


def _endpoint(
    runs: Runs, make: Callable[[Values, Tell], list[Sample]], names: Sequence[str], results: _Results
) -> Callable[..., Iterator[Any]]:
    """A handler whose parameters bear the inputs' names, as clients of the page see them.

    gradio closes it when its client cancels or leaves: the run ends within a step.
    """

    def generate(request: gr.Request, *values: Any) -> Iterator[Any]:
        session = str(request.session_hash)
        run = runs.new(session, lambda tell: make(dict(zip(names, values, strict=True)), tell))
        try:
            yield {results.status: progress_bar(0, "Waits for the one before to end")}  # gradio closes what has begun to yield
            run.start()
            while not run.done:
                news = run.news()
                yield gr.skip() if news is None else {results.status: progress_bar(*news)}
            samples, stopped = run.result(), run.stopped
        except SnacPluginError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from None
        finally:
            runs.end(session, run)
        if not samples:
            raise gr.Error("Stopped before the first chunk was finished.", print_exception=False)
        yield results.of(samples, "Stopped; this is what was finished." if stopped else "")

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, default=None) for name in names]  # None where a component has no value of its own
    generate.__signature__ = inspect.Signature([inspect.Parameter("request", kind), *parameters])  # type: ignore[attr-defined]
    generate.__doc__ = "Generate samples: the wav, picture, seed and settings of the first, and the files of all."
    return generate


def _asked(runs: Runs) -> Callable[..., Any]:
    """Put the button that stops in place of the one that generates."""

    def asked(request: gr.Request) -> tuple[Any, Any]:
        runs.expect(str(request.session_hash))
        return gr.Button(visible=False), gr.Button(visible=True)

    return asked


def _stop(runs: Runs) -> Callable[..., None]:
    def stop(request: gr.Request) -> None:
        runs.stop(str(request.session_hash))

    return stop


def _reporter(tell: Tell, names: str, steps: Sequence[int], chunks: int) -> StepCallback:
    """Tells the page of each denoising step."""

    def report(chunk: int, level: int, step: int) -> None:
        done, total = chunk * sum(steps) + sum(steps[:level]) + step + 1, max(chunks, chunk + 1)  # a recording may need more
        place = f"chunk {chunk + 1} of {total}, " if total > 1 else ""
        tell(Progress(done / (total * sum(steps)), f"{place}level {names[level]}, step {step + 1} of {steps[level]}"))

    return report


def _about(model: SnacDiffusion) -> str:
    weights = sum(p.numel() for p in model.model.parameters())
    codec, chunk = Path(model.pretransform.codec_name).name, model.chunk_samples / model.sample_rate
    grid = f"{model.sample_rate / 1000:g} kHz, levels {' '.join(model.levels.names)}"
    return f"{weights / 1e6:.3g} M weights · codec {codec}, {grid} · chunks of {chunk:.3f} s"
