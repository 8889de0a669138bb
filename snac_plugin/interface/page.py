"""The page: inputs at the left, the sample and what can be done with it at the right, what this browser made below."""

import inspect
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.chunks import StepCallback, chunks_for
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.stages import Stopped
from snac_plugin.interface.actions import Actions
from snac_plugin.interface.controls import CLIENT, Controls
from snac_plugin.interface.history import Histories, History
from snac_plugin.interface.layout import QUIET, Buttons, lay_out
from snac_plugin.interface.look import CSS, heading, progress_bar, theme
from snac_plugin.interface.results import Results, Shown
from snac_plugin.interface.runs import Progress, Runs, Tell
from snac_plugin.interface.waveform import check_length, short
from snac_plugin.output.make_samples import make_samples
from snac_plugin.output.recordings import Recording

Values = Mapping[str, Any]
Make = Callable[[Values, History | None, Tell], list[Shown]]
FILES = ("recording", "edit_edit", "edit_before", "edit_bridge_first", "edit_bridge_second")
"""Parameters whose values are recordings."""


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
        folder: where samples are written, those of each browser in a folder of their own; a temporary folder by default.
        checkpoint: where the model came from, for the samples' settings.
    """
    temporary = tempfile.TemporaryDirectory(prefix="snac_plugin_") if folder is None else None
    out = Path(str(folder) if temporary is None else temporary.name)
    title = gradio_title or "SNAC diffusion"
    with _Page(title=title, theme=theme(), css=CSS, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.HTML(heading(title, _about(model), model.levels))
        controls = Controls(model.config, model.levels)

        def serve(file: Path) -> str:
            served = save_file_to_cache(file, cache_dir=get_upload_folder())
            controls.components["recording"].temp_files.add(served)  # so that gradio takes it away after a day
            return served

        def make(values: Values, history: History | None, tell: Tell) -> list[Shown]:
            where = out if temporary is None else Path(temporary.name)  # used here, or it would be deleted with its owner
            return _made(model, controls, values, history, where, tell, checkpoint)

        with gr.Row(equal_height=False, elem_classes="snac-columns"):
            with gr.Column(scale=4, min_width=330):
                buttons = lay_out(controls)
                actions = Actions(controls, Histories(out), serve)
            with gr.Column(scale=8, min_width=330):
                results = Results(serve, buttons.status)
        actions.lay_out(results)
        _connect(page, controls, buttons, results, actions, make)
    return page


class _Page(gr.Blocks):
    """A page that takes fewer values than it has inputs from clients that name none, curl say: those it had before still work."""

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        if block_fn.api_name == "generate":
            inputs.extend(getattr(component, "value", None) for component in block_fn.inputs[len(inputs) :])
        super().validate_inputs(block_fn, inputs)


def _connect(page: gr.Blocks, controls: Controls, buttons: Buttons, results: Results, actions: Actions, make: Make) -> None:
    """Let buttons generate, one sample after the other, and stop."""
    runs, both = Runs(), [buttons.generate, buttons.stop]
    handler = _endpoint(runs, make, list(controls.components), results, actions.history)

    def expect(request: gr.Request) -> Any:
        runs.expect(str(request.session_hash))
        return buttons.working(True)

    def generate_after(asked: Any, api_name: str | bool) -> None:
        queue: Any = {"concurrency_limit": 1, "concurrency_id": "generate", "show_progress": "minimal", "api_name": api_name}
        done = asked.then(handler, list(controls.components.values()), results.components, **queue)
        done.then(lambda: buttons.working(False), None, both, **QUIET)
        done.then(actions.shown_cards, None, actions.cards, **QUIET)

    def stop(request: gr.Request) -> None:
        runs.stop(str(request.session_hash))

    generate_after(buttons.generate.click(expect, None, both, **QUIET), "generate")
    generate_after(actions.four_variations.then(expect, None, both, **QUIET), False)
    buttons.stop.click(stop, None, None, **QUIET)
    actions.on_load(page, buttons.examples)


def _made(
    model: SnacDiffusion, controls: Controls, values: Values, history: History | None, out: Path, tell: Tell, checkpoint: str | None
) -> list[Shown]:
    """Generate what the inputs ask for, into the history's folder or `out`; stopped, what is finished of it."""
    given = {name: Path(values[name]) for name in FILES if values.get(name)}
    for path in given.values():
        check_length(path)
    if history is not None:
        given = {name: history.keep(path) for name, path in given.items()}
    values = controls.filled({**values, **{name: str(path) for name, path in given.items()}})
    request, mode = controls.request(values), controls.mode(values)
    steps = check_request(request, model.config, model.levels.names).steps
    chunks = chunks_for(request.samples(model.chunk_samples, model.sample_rate), model.chunk_samples)
    continued = values.get("recording") if mode in ("", "Continue") else None
    recording = Recording.read(continued, model.levels) if continued else None
    options: Any = {"seed": int(values["seed"]), "count": int(values["batch_size"]), "recording": recording}
    options |= {"callback": _reporter(tell, model.levels.names, steps, chunks), "checkpoint": checkpoint, "progress": False}
    samples = []
    try:
        for sample in make_samples(model, request, out if history is None else history.folder, **options):
            samples.append(sample)
    except Stopped:
        pass  # what is finished is kept
    used = {str(one) for one in (continued, request.edit, request.before, *(request.bridge or ())) if one}
    if history is not None and samples:
        named = mode or "Edit"
        history.add(samples, named if used or mode != "Continue" else "From nothing", [p for p in given.values() if str(p) in used])
    return [Shown(str(s.files.wav), str(s.files.picture), s.seed, s.settings) for s in samples]


def _endpoint(
    runs: Runs, make: Make, names: Sequence[str], results: Results | None, history_of: Callable[[gr.Request], History | None]
) -> Callable[..., Iterator[Any]]:
    """A handler whose parameters bear the inputs' names, as clients of the page see them.

    gradio closes it when its client cancels or leaves: the run ends within a step.
    """

    def generate(request: gr.Request, *arguments: Any) -> Iterator[Any]:
        assert results is not None
        session, values = str(request.session_hash), dict(zip(names, arguments, strict=True))
        history = history_of(request)
        run = runs.new(session, lambda tell: make(values, history, tell))
        try:
            yield {results.status: progress_bar(0, "Begins")}  # gradio closes only what has begun to yield
            run.start()
            while not run.done:
                news = run.news()
                yield gr.skip() if news is None else {results.status: progress_bar(*news)}
            samples, stopped = run.result(), run.stopped
        except SnacPluginError as error:
            files = [values.get(name) for name in FILES]
            kept = [] if history is None else [history.keep(file) for file in files if file]
            raise gr.Error(short(error, *kept, *files), duration=None, print_exception=False) from None
        finally:
            runs.end(session, run)
        if not samples:
            raise gr.Error("Stopped before the first chunk was finished.", print_exception=False)
        yield results.of(samples, "Stopped: this is what was finished." if stopped else "")

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, default=None) for name in names]  # None where a component has no value of its own
    generate.__signature__ = inspect.Signature([inspect.Parameter(CLIENT[0], kind), *parameters])  # type: ignore[attr-defined]
    generate.__doc__ = "Generate samples: the wav, picture, seed and settings of the first, and the files of all."
    return generate


def _reporter(tell: Tell, names: str, steps: Sequence[int], chunks: int) -> StepCallback:
    """Tells the page of each denoising step."""
    started = time.perf_counter()

    def report(chunk: int, level: int, step: int) -> None:
        done, total = chunk * sum(steps) + sum(steps[:level]) + step + 1, max(chunks, chunk + 1)  # a recording may need more
        place = f"chunk {chunk + 1} of {total}, " if total > 1 else ""
        share, taken = done / (total * sum(steps)), time.perf_counter() - started
        left = f" · about {taken * (1 - share) / share:.0f} s left" if taken > 2 else ""
        tell(Progress(share, f"{place}level {names[level]}, step {step + 1} of {steps[level]}{left}"))

    return report


def _about(model: SnacDiffusion) -> str:
    weights = sum(p.numel() for p in model.model.parameters())
    codec, chunk = Path(model.pretransform.codec_name).name, model.chunk_samples / model.sample_rate
    grid = f"{model.sample_rate / 1000:g} kHz, levels {' '.join(model.levels.names)}"
    return f"{weights / 1e6:.3g} M weights · codec {codec}, {grid} · chunks of {chunk:.3f} s"
