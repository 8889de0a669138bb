"""What can be done with samples: use one as the next recording, take its settings, find it in the history."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.errors import SnacPluginError
from snac_plugin.interface.cards import EMPTY, cards
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.history import Histories, History
from snac_plugin.interface.layout import EXAMPLES, QUEUED, QUIET
from snac_plugin.interface.results import Results, Serve, Shown, there
from snac_plugin.interface.settings_in import settings_from, values_of

COOKIE = "snac_browser"
SECRET = re.compile(r"[0-9a-f]{32}")
SCRIPT = Path(__file__).with_name("page.js")
USES = {"go_on": {"edit_mode": "Continue"}, "repaint": {"edit_mode": "Repaint"}, "redo": {"edit_mode": "Vary"}}
"""What buttons under a sample set; each puts the sample in as the recording."""
VARIATIONS = {"batch_size": 4, "seed": -1}
"""What four variations ask for in place of the inputs, which stay as they are."""


class Actions:
    """Handlers and components of the history and of settings; `lay_out` makes them, inside a gr.Blocks context."""

    def __init__(self, controls: Controls, histories: Histories, serve: Serve) -> None:
        self._controls, self._histories, self._serve = controls, histories, serve
        self._inputs = list(controls.components.values())

    def history(self, request: gr.Request) -> History | None:
        """That of the browser which asks; None for clients without its cookie."""
        secret = request.cookies.get(COOKIE, "")
        return self._histories.of(secret) if SECRET.fullmatch(secret) else None

    def lay_out(self, results: Results) -> None:
        """The history below everything else, and what its buttons and those under a sample do."""
        with gr.Accordion("Settings of an earlier sample", open=False):
            self._file = gr.File(label="JSON file", file_types=[".json"], type="filepath", height=110, elem_id="snac-settings-file")
            self._text = gr.Textbox("", label="or its content", lines=3, elem_id="snac-settings")
            self._take = gr.Button("Use these settings", size="sm")
        gr.HTML("<h2>History</h2>")
        self.cards = gr.HTML(EMPTY, elem_id="snac-history")
        pack = gr.Button("All of it as a zip", size="sm")
        pack.click(self._packed, None, gr.File(label="All samples of this browser", visible=False), **QUIET)
        do = gr.Textbox("", elem_id="snac-do", elem_classes="snac-hidden", show_label=False)
        do.input(self._act(results), [do, results.current], [self.cards, *results.components], **QUEUED)
        for name, values in USES.items():
            getattr(results, name).click(self._use(values), results.current, self._inputs, **QUIET)
        self.four_variations = results.four.click(self._use({"edit_mode": "Vary"}), results.current, self._inputs, **QUIET)
        results.again.click(self._settings_of_current, results.current, self._inputs, **QUIET)
        results.seed_again.click(lambda seed: seed, results.seed, self._controls.components["seed"], **QUIET)
        self._file.upload(self._settings_of_file, self._file, self._inputs, **QUIET)
        self._take.click(self._settings_of_text, self._text, self._inputs, **QUIET)

    def on_load(self, page: gr.Blocks, examples: Sequence[gr.Button]) -> None:
        """Show the history, and take the settings of a link or the first example."""
        recording = self._controls.components["recording"]
        for button, path in zip(examples, EXAMPLES, strict=True):
            button.click(lambda path=path: self._serve(path), None, recording, **QUIET)
        opened = page.load(self._opened, self._text, [self.cards, self._text, recording], js=SCRIPT.read_text(), **QUIET)
        opened.then(self._settings_of_link, self._text, self._inputs, **QUIET)

    def shown_cards(self, request: gr.Request) -> str:
        return self._cards(self.history(request))

    def _cards(self, history: History | None, every: bool = False) -> str:
        return EMPTY if history is None else cards(history, self._serve, every)

    def _packed(self, request: gr.Request) -> Any:
        history = self.history(request)
        if history is None or not history.entries():
            raise gr.Error("There is nothing in the history yet.", print_exception=False)
        with tempfile.TemporaryDirectory() as folder:
            history.pack(Path(folder) / "samples.zip")
            return gr.update(value=self._serve(Path(folder) / "samples.zip"), visible=True)

    def _opened(self, link: str, request: gr.Request) -> tuple[Any, ...]:
        first = self._serve(EXAMPLES[0]) if EXAMPLES and not link and self._controls.first_mode == "Continue" else gr.skip()
        return self.shown_cards(request), link, first

    def _act(self, results: Results) -> Any:
        """What the buttons of cards ask for: [action, name, time]."""

        def act(text: str, current: str | None, request: gr.Request) -> list[Any]:
            history, nothing = self.history(request), [gr.skip()] * len(results.components)
            try:
                action, name, _ = json.loads(text)
            except ValueError:
                return [gr.skip(), *nothing]
            entry = None if history is None else history.entry(name)
            if history is None or (action != "all" and entry is None):
                raise gr.Error("This sample is no longer here.", print_exception=False)
            if action == "open" and entry is not None:
                files = (str(history.audio(entry)), str(history.picture(entry)))
                source = str(history.folder / entry.recordings[0]) if entry.recordings else ""
                return [gr.skip(), *results.of([Shown(*files, entry.seed, history.settings(entry), source)])]
            if action == "compare" and entry is not None:
                if current is None:
                    raise gr.Error("Open a sample first: the other one is compared with it.", print_exception=False)
                place = results.components.index(results.compared)
                nothing[place] = results.compare(Path(current), history.audio(entry))
                return [gr.skip(), *nothing]
            if action == "mark":
                history.mark(name)
            elif action == "delete":
                history.delete(name)
            return [self._cards(history, action == "all"), *nothing]

        return act

    def _use(self, values: dict[str, Any]) -> Any:
        """Put the sample that is shown in as the recording, in a mode; levels after the first are redone by default."""
        names = self._controls.levels.names
        values = {"edit_keep_levels": names[0] if len(names) > 1 else "", **values}

        def use(current: str | None) -> list[Any]:
            wanted = {**values, "recording": None if current is None else self._serve(there(Path(current)))}
            return [gr.update(value=wanted[name]) if name in wanted else gr.skip() for name in self._controls.components]

        return use

    def _settings_of_current(self, current: str, request: gr.Request) -> list[Any]:
        return self._filled(there(Path(current)).with_suffix(".json").read_text(encoding="utf-8"), self.history(request))

    def _settings_of_file(self, file: str, request: gr.Request) -> list[Any]:
        return self._filled(Path(file).read_text(encoding="utf-8", errors="replace"), self.history(request))

    def _settings_of_text(self, text: str, request: gr.Request) -> list[Any]:
        return self._filled(text, self.history(request))

    def _settings_of_link(self, text: str, request: gr.Request) -> list[Any]:
        return self._settings_of_text(text, request) if text else [gr.skip()] * len(self._inputs)

    def _filled(self, text: str, history: History | None) -> list[Any]:
        """The inputs with the settings in a JSON text."""
        find = history.recording if history is not None else lambda *_: None
        try:
            settings = settings_from(text)
            values, lacking = values_of(self._controls, settings, find)
        except SnacPluginError as error:
            raise gr.Error(str(error), print_exception=False) from None
        if lacking:
            gr.Warning(f"Put in {' and '.join(lacking)} too: settings only name a recording.")
        for flag in ("lora", "autoguidance"):
            if places := settings.get(flag):
                gr.Warning(f"That sample was made with --{flag} {' '.join(places)}; this page has what it was started with.")
        files = {name: self._serve(Path(values[name])) for name in ("recording", "edit_bridge_second") if values[name]}
        return [gr.update(value={**values, **files}[name]) for name in self._controls.components]
