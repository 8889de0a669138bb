"""The page: inputs at the left, the sample and what can be done with it at the right, what this browser made below."""

import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from snac_plugin.errors import SnacPluginError, UsageError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.stages import Stopped
from snac_plugin.interface.actions import VARIATIONS, Actions
from snac_plugin.interface.controls import CLIENT, Controls
from snac_plugin.interface.history import Histories
from snac_plugin.interface.layout import QUIET, Buttons, lay_out
from snac_plugin.interface.look import CSS, heading, progress_bar, theme
from snac_plugin.interface.making import PageGenerator
from snac_plugin.interface.modes import refuse_unmarked
from snac_plugin.interface.results import Results, with_pieces
from snac_plugin.interface.runs import Run, Runs
from snac_plugin.interface.served_page import Listener, ServedPage
from snac_plugin.interface.wording import hinted, in_words, said, short
from snac_plugin.output.make_samples import model_fingerprint

SWEPT = (3600, 72000)
"""Seconds between gradio's sweeps of its copies of files, and the age at which they go: under a day, as it counts no whole days."""
AT_ONCE = 20
"""Requests that see their place in the line; further ones wait in gradio's own queue."""
NOTHING = "Stopped before the first chunk was finished."
STOPPED = '<p class="snac-says snac-at" role="status">{}</p>'
SHOW_END = "() => snacEnded()"


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
    with ServedPage(title=title, theme=theme(), css=CSS, analytics_enabled=False, delete_cache=SWEPT) as page:
        gr.HTML(heading(title, _about(model), model.levels))
        controls = Controls(model.config, model.levels)

        def serve(file: Path) -> str:
            served = save_file_to_cache(file, cache_dir=get_upload_folder())
            os.utime(served)  # it is as new as what shows it
            controls.components["recording"].temp_files.add(served)  # so that gradio takes it away again
            return served

        maker = PageGenerator(model, controls, out, serve, checkpoint)
        with gr.Row(equal_height=False, elem_classes="snac-columns"):
            with gr.Column(scale=4, min_width=330):
                buttons = lay_out(controls)
                actions = Actions(controls, Histories(out), serve, buttons.hint, model_fingerprint(model))
            with gr.Column(scale=8, min_width=330):
                buttons.place()
                results = Results(serve, buttons.status)
        actions.lay_out(results)
        _connect(page, maker, buttons, results, actions)
    page.temporary = temporary  # or it would be deleted with its owner
    return page


def _connect(page: ServedPage, maker: PageGenerator, buttons: Buttons, results: Results, actions: Actions) -> None:
    """Let buttons generate, one sample after the other, and stop."""
    runs, both, controls = Runs(), [buttons.generate, buttons.stop], maker.controls
    handler = partial(_endpoint, page, runs, maker, results, actions)
    queue: Any = {"concurrency_limit": AT_ONCE, "concurrency_id": "generate"}

    def expect(request: gr.Request) -> Any:
        runs.expect(str(request.session_hash))
        return *buttons.working(True), hinted("")

    def settle(request: gr.Request) -> Any:
        runs.settle(str(request.session_hash))
        return buttons.working(False)

    def generate_after(asked: Any, api_name: str | bool, more: Mapping[str, Any]) -> None:
        looks: Any = {"show_progress": "hidden", "api_name": api_name}
        asked.then(None, js="() => snacShow('#snac-status', 'center')", **QUIET)
        done = asked.then(handler(more), list(controls.components.values()), results.components, **looks, **queue)
        done.then(settle, None, both, **QUIET).then(None, js=SHOW_END, **QUIET)
        done.then(actions.shown_cards, None, actions.cards, **QUIET)

    def stop(request: gr.Request) -> None:
        runs.stop(str(request.session_hash))

    generate_after(buttons.generate.click(expect, None, [*both, buttons.hint], **QUIET), "generate", {})
    generate_after(actions.four_variations.success(expect, None, [*both, buttons.hint], **QUIET), False, VARIATIONS)
    buttons.stop.click(stop, None, None, **QUIET)
    codec = _through_codec(page, runs, maker, results)
    outputs = [results.status, results.compared]
    buttons.codec.click(codec, controls.components["recording"], outputs, api_name=False, show_progress="hidden", **queue)
    actions.on_load(page, buttons.examples)


def _followed(runs: Runs, session: str, run: Run, listener: Listener, of: Callable[[str], Any]) -> Iterator[Any]:
    """What is told of a run while it waits and computes. gradio closes it when its client cancels or leaves: the run ends.

    UsageError if nobody listens while others wait.
    """
    try:
        yield of(progress_bar(0, "Checking the inputs"))  # gradio closes only what has begun to yield
        run.start()
        told = None
        while not run.done:
            news = run.news()
            yield gr.skip() if news in (None, told) else of(with_pieces(progress_bar(news.share, news.text), run.heard))
            told = news or told
            if listener.has_left() and run.keeps_others_waiting:
                raise UsageError("request", "nobody who listens", "a client that fetches its events while others wait")
    finally:
        runs.end(session, run)


def _endpoint(
    page: ServedPage,
    runs: Runs,
    maker: PageGenerator,
    results: Results,
    actions: Actions,
    more: Mapping[str, Any],
) -> Callable[..., Iterator[Any]]:
    """A handler whose parameters bear the inputs' names, as clients of the page see them; `more` are values in place of theirs."""
    names = list(maker.controls.components)

    def generate(request: gr.Request, *arguments: Any) -> Iterator[Any]:
        session, history = str(request.session_hash), actions.history(request)
        from_page = runs.expected(session)
        try:
            values: Mapping[str, Any] = {**dict(zip(names, arguments, strict=True)), **more}
            if from_page:
                actions.taken.refuse_lacking(session, values)
            values = _checked(maker.controls, values, from_page)
            run = runs.new(session, lambda run: maker.make(values, history, run), maker.amount(values), from_page)
            yield from _followed(runs, session, run, page.listener(session), lambda status: {results.status: status})
            stopped, samples = run.stopped_early, run.result()
            if not samples and from_page:  # as its user wished
                yield {results.status: STOPPED.format(NOTHING)}
                return
            if not samples:
                raise SnacPluginError(NOTHING)
        except SnacPluginError as error:
            text = in_words(error, maker.controls) if from_page else str(error)
            if from_page:
                yield {results.status: said(text)}  # under the button; the sample before stays as it is
            raise gr.Error(text, print_exception=False) from None
        yield results.of(samples, "Stopped: this is what was finished." if stopped else "", run.heard)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, default=None) for name in names]  # None where a component has no value of its own
    generate.__signature__ = inspect.Signature([inspect.Parameter(CLIENT[0], kind), *parameters])  # type: ignore[attr-defined]
    generate.__doc__ = "Generate samples: the wav, picture, seed and settings of the first, and the files of all."
    return generate


def _checked(controls: Controls, values: Mapping[str, Any], from_page: bool) -> Mapping[str, Any]:
    """What counts of the values: the page hides inputs that do nothing, a client is told of them."""
    if from_page:
        refuse_unmarked(values)
        return controls.counted(values)
    controls.refuse_idle(values)
    return values


def _through_codec(page: ServedPage, runs: Runs, maker: PageGenerator, results: Results) -> Callable[..., Iterator[Any]]:
    """A handler that puts a recording beside what the codec makes of it: the best that any model can sound."""

    def through_codec(path: str | None, request: gr.Request) -> Iterator[Any]:
        if not path:
            raise gr.Error("Put in a recording first.", print_exception=False)
        session = str(request.session_hash)
        run = runs.new(session, lambda run: maker.through_codec(path, run), 0.0)
        yield from _followed(runs, session, run, page.listener(session), lambda status: {results.status: status})
        yield {results.status: ""}
        try:
            coded = run.result()
        except Stopped:  # between its start and the codec
            coded = None
        except SnacPluginError as error:
            raise gr.Error(str(short(error, path)), print_exception=False) from None
        if coded is None:
            yield {results.status: STOPPED.format("Stopped.")}
        else:
            yield {results.compared: results.compare(Path(path), Path(coded))}

    return through_codec


def _about(model: SnacDiffusion) -> str:
    weights = sum(p.numel() for p in model.model.parameters())
    codec, chunk = Path(model.pretransform.codec_name).name, model.chunk_samples / model.sample_rate
    grid = f"{model.sample_rate / 1000:g} kHz, levels {' '.join(model.levels.names)}"
    return f"{weights / 1e6:.3g} M weights · codec {codec}, {grid} · chunks of {chunk:.3f} s"
