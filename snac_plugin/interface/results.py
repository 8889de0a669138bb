"""The right side: the sample that was made or opened, and what can be done with it."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.data.audio_file import read_header
from snac_plugin.interface.cards import comparison, players, repeats
from snac_plugin.interface.layout import QUEUED, QUIET
from snac_plugin.interface.settings_in import link_with

Serve = Callable[[Path], str]
COMPARED_MINUTES = 20


@dataclass(frozen=True)
class Shown:
    """A sample as the page holds it."""

    wav: str
    picture: str
    seed: int
    settings: Mapping[str, Any]
    source: str = ""  # the recording that it came from, if there is one


class Results:
    """Components of the right side. Made inside a gr.Blocks context.

    Args:
        serve: copies a file to where the page may give it out.
        status: where it is said how far a generation is.
    """

    def __init__(self, serve: Serve, status: gr.HTML) -> None:
        self._serve, self.status = serve, status
        self.players = gr.HTML(visible=False)
        self.choice = gr.Radio([], label="Sample", visible=False)
        with gr.Column(elem_id="snac-player"):
            audio = gr.Audio(label="Audio", type="filepath", interactive=False, elem_id="snac-result")
            self.repeat = gr.HTML(visible=False, padding=False)
        with gr.Row(visible=False, elem_classes="snac-actions", equal_height=True) as self.actions:
            small: Any = {"size": "sm", "min_width": 120}
            self.go_on, self.repaint = gr.Button("Continue it", **small), gr.Button("Repaint a part", **small)
            self.redo, self.four = gr.Button("Redo finer levels", **small), gr.Button("Four variations", **small)
            self.again = gr.Button("Use these settings", **small)
            self.beside = gr.Button("Compare with its source", visible=False, **small)
        self.compared = gr.HTML(visible=False)
        with gr.Column(visible=False) as self.details:  # until there is a sample
            picture = gr.Image(label="Picture", show_label=False, type="filepath", interactive=False, elem_classes="snac-picture")
            with gr.Row():
                self.seed = gr.Number(label="Seed of this sample", precision=0, interactive=False, scale=2, min_width=160)
                self.seed_again = gr.Button("Use this seed again", size="md", scale=1, min_width=160, elem_classes="snac-again")
            self.link = gr.HTML()
            files = gr.File(label="Files", file_count="multiple", interactive=False)
            with gr.Accordion("Settings of this sample", open=False):
                settings = gr.JSON(label="Settings", show_label=False)
        self.samples, self.current, self.source = gr.State([]), gr.State(None), gr.State("")
        self._one = [audio, picture, self.seed, settings, self.link]
        self._one += [self.current, self.source, self.beside, self.compared, self.repeat]
        self.components = [audio, picture, self.seed, settings, files, self.choice, self.samples]
        self.components += [self.status, self.link, self.current, self.actions, self.details]
        self.components += [self.source, self.beside, self.compared, self.players, self.repeat]
        self.choice.input(lambda index, samples: self._shown(samples[index]), [self.choice, self.samples], self._one, **QUEUED)
        self.beside.click(self._with_source, [self.current, self.source], self.compared, **QUIET)

    def _shown(self, sample: Shown) -> list[Any]:
        """Values of `_one`."""
        wav, picture = self._serve(there(Path(sample.wav))), Path(sample.picture)
        served = [wav, self._serve(picture) if picture.is_file() else None]
        beside, hidden = gr.update(visible=bool(sample.source)), gr.update(value="", visible=False)
        repeat = gr.update(value=repeats(bool(sample.settings.get("loop")), "↻ Repeat", wav), visible=True)
        link = link_with(sample.settings)
        return [*served, sample.seed, sample.settings, link, sample.wav, sample.source, beside, hidden, repeat]

    def of(self, samples: Sequence[Shown], said: str = "", heard: Sequence[str] = ()) -> tuple[Any, ...]:
        """Values of all components for the samples that were made, or one that is opened; `heard` as of `with_pieces`."""
        *shown, link, current, source, beside, hidden, repeat = self._shown(samples[0])
        each = (file for s in samples for file in (Path(s.wav), Path(s.picture), Path(s.wav).with_suffix(".json")))
        files = [self._serve(file) for file in each if file.is_file()]
        choices = [(f"seed {s.seed}", index) for index, s in enumerate(samples)]
        several = len(samples) > 1
        choice = gr.Radio(choices=choices, value=0, visible=several)
        named = [(f"seed {s.seed}", self._serve(Path(s.wav))) for s in samples] if several else []
        row = players(named, bool(samples[0].settings.get("loop"))) if several else ""
        status = with_pieces(f'<p class="snac-says">{said}</p>' if said else "", heard)
        visible = gr.update(visible=True)
        side_by_side = gr.update(value=row, visible=several)
        end = (link, current, visible, visible, source, beside, hidden, side_by_side, repeat)
        return *shown, files, choice, list(samples), status, *end

    def compare(self, first: Path, second: Path) -> Any:
        """An update of `compared`: two sounds at the same place. Both lie in the browser's memory whole."""
        if max(read_header(there(path))[0] for path in (first, second)) > 60 * COMPARED_MINUTES:
            raise gr.Error(f"Sounds of more than {COMPARED_MINUTES} minutes cannot be compared here.", print_exception=False)
        named = [(path.stem, self._serve(there(path))) for path in (first, second)]
        return gr.update(value=comparison(named[0], named[1]), visible=True)

    def _with_source(self, current: str, source: str) -> Any:
        return self.compare(there(Path(current)), there(Path(source), "The source of this sample"))


def there(file: Path, what: str = "This sample") -> Path:
    """A file that was there once; it may have been deleted since."""
    if not file.is_file():
        raise gr.Error(f"{what} is no longer here.", print_exception=False)
    return file


def with_pieces(status: str, heard: Sequence[str]) -> str:
    """What is said of a run, and where page.js finds its finished pieces to play them."""
    pieces = html.escape(" ".join(heard))
    return f'{status}<span data-pieces="{pieces}"></span>' if heard else status
