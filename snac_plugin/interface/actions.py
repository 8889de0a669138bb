"""What can be done with samples: use one as the next recording, take its settings, find it in the history."""

import json
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.data.audio_file import read_header
from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.batch import place_in_batch
from snac_plugin.interface.cards import EMPTY, cards, file_url
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.history import Histories, History
from snac_plugin.interface.layout import EXAMPLES, QUEUED, QUIET
from snac_plugin.interface.modes import PLACES
from snac_plugin.interface.results import Results, Serve, Shown, there
from snac_plugin.interface.settings_in import settings_from, unknown_in, values_of
from snac_plugin.interface.taken_settings import TakenSettings, asking
from snac_plugin.interface.waveform import proposed_part
from snac_plugin.interface.wording import hinted

COOKIE = "snac_browser"
SECRET = re.compile(r"[0-9a-f]{32}")
SCRIPT, REPEAT = (Path(__file__).with_name(name) for name in ("page.js", "repeat.js"))
USES: dict[str, tuple[dict[str, Any], str]] = {
    "go_on": ({"edit_mode": "Continue"}, "Set the length of what is new, then Generate."),
    "repaint": (
        {"edit_mode": "Repaint", "edit_repaint": ""},
        "Its middle is marked. Drag over the lower waveform to mark another part, then Generate.",
    ),
    "redo": ({"edit_mode": "Vary"}, "Choose the levels that stay, then Generate."),
}
"""What buttons under a sample set, and what is to do then; each puts the sample in as the recording."""
SHOW_HINT = "() => snacShow('#snac-hint', 'start')"
VARIATIONS = {"batch_size": 4, "seed": -1}
"""What four variations ask for in place of the inputs, which stay as they are."""


class Actions:
    """Handlers and components of the history and of settings; `lay_out` makes them, inside a gr.Blocks context."""

    def __init__(self, controls: Controls, histories: Histories, serve: Serve, hint: gr.HTML, fingerprint: str) -> None:
        """`fingerprint` is the model's, as settings name it."""
        self._controls, self._histories, self._serve, self._hint = controls, histories, serve, hint
        self._fingerprint = fingerprint
        self._inputs = [*controls.components.values(), hint]
        self.taken = TakenSettings()

    def history(self, request: gr.Request) -> History | None:
        """That of the browser which asks; None for clients without its cookie."""
        secret = request.cookies.get(COOKIE, "")
        return self._histories.of(secret) if SECRET.fullmatch(secret) else None

    def lay_out(self, results: Results) -> None:
        """The history below everything else, and what its buttons and those under a sample do."""
        results.go_on.visible = "Continue" in self._controls.modes
        with gr.Accordion("Settings of an earlier sample", open=False):
            self._file = gr.File(label="JSON file", file_types=[".json"], type="filepath", height=110, elem_id="snac-settings-file")
            self._text = gr.Textbox("", label="or its content", lines=3, elem_id="snac-settings")
            self._take = gr.Button("Use these settings", size="sm")
        gr.HTML("<h2>History</h2>")
        self.cards = gr.HTML(EMPTY, elem_id="snac-history")
        pack, packed = gr.Button("All of it as a zip", size="sm", elem_id="snac-pack"), gr.Textbox(visible=False)
        download = pack.click(self._packed, None, packed, **QUIET)
        download.success(None, packed, None, js="(url) => snacDownload(url)", **QUIET)
        do = gr.Textbox("", elem_id="snac-do", elem_classes="snac-hidden", show_label=False)
        do.input(self._act(results), [do, results.current], [self.cards, *results.components], **QUEUED)
        filled = [
            getattr(results, name).click(self._use(values, hint), results.current, self._inputs, **QUIET)
            for name, (values, hint) in USES.items()
        ]
        self.four_variations = results.four.click(self._use({"edit_mode": "Vary"}), results.current, self._inputs, **QUIET)
        filled.append(results.again.click(self._settings_of_current, results.current, self._inputs, **QUIET))
        seed, count = (self._controls.components[name] for name in ("seed", "batch_size"))
        filled.append(results.seed_again.click(self._seed_of_current, results.current, [seed, count, self._hint], **QUIET))
        count.input(self._of_fewer, [seed, count], self._hint, **QUIET)  # type: ignore[attr-defined]
        filled.append(self._file.upload(self._settings_of_file, self._file, self._inputs, **QUIET))
        filled.append(self._take.click(self._settings_of_text, self._text, self._inputs, **QUIET))
        for one in filled:
            one.success(None, js=SHOW_HINT, **QUIET)
        self._controls.components["edit_mode"].input(self._other_mode, None, self._hint, **QUIET)  # type: ignore[attr-defined]
        for name in ("recording", "edit_bridge_second"):
            box: Any = self._controls.components[name]
            by_hand = [box.upload, box.stop_recording, box.clear]
            gr.on(by_hand, self._put_in(name), box, self._hint, **QUIET)

    def on_load(self, page: gr.Blocks, examples: Sequence[gr.Button]) -> None:
        """Show the history, and take the settings of a link or the first example."""
        names = ("edit_mode", "recording", "edit_bridge_second", *PLACES)
        mode, recording, second, *places = (self._controls.components[name] for name in names)
        for button, path in zip(examples, EXAMPLES, strict=True):
            button.click(partial(self._example, path), [mode, recording, second], [recording, second], **QUIET)
        shown = [self.cards, self._text, recording, *places]
        opened = page.load(self._opened, self._text, shown, js=SCRIPT.read_text(), **QUIET)
        page.load(None, js=REPEAT.read_text(), **QUIET)
        opened.then(self._settings_of_link, self._text, self._inputs, **QUIET)
        page.unload(self.forget)

    def _example(self, path: Path, mode: str, first: str | None, second: str | None) -> tuple[Any, Any]:
        """An example as the recording; in Bridge as the second one, if that alone lacks."""
        served = self._serve(path)
        return (gr.skip(), served) if mode == "Bridge" and first and not second else (served, gr.skip())

    def forget(self, request: gr.Request) -> None:
        """No recording is asked for any more: another mode was chosen, or the page left."""
        self.taken.forget(str(request.session_hash))

    def _other_mode(self, request: gr.Request) -> Any:
        self.forget(request)
        return hinted("")

    def _put_in(self, parameter: str) -> Any:
        """A function, not a partial: gradio gives a partial no request."""

        def put_in(path: str | None, request: gr.Request) -> Any:
            return hinted(self.taken.put_in(str(request.session_hash), parameter, path), "snac-wrong")

        return put_in

    def shown_cards(self, request: gr.Request) -> str:
        return self._cards(self.history(request))

    def _cards(self, history: History | None, every: bool = False) -> str:
        return EMPTY if history is None else cards(history, self._serve, every)

    def _packed(self, request: gr.Request) -> str:
        """Where the browser gets all of its samples."""
        history = self.history(request)
        if history is None or not history.entries():
            raise gr.Error("There is nothing in the history yet.", print_exception=False)
        with tempfile.TemporaryDirectory() as folder:
            history.pack(Path(folder) / "samples.zip")
            return file_url(self._serve(Path(folder) / "samples.zip"))

    def _opened(self, link: str, request: gr.Request) -> tuple[Any, ...]:
        """The cards, the link, the first example; and no part to repaint, of which clients that name none get 0 to 1 s."""
        first = self._serve(EXAMPLES[0]) if EXAMPLES and not link and self._controls.first_mode == "Continue" else gr.skip()
        return self.shown_cards(request), link, first, None, None

    def _act(self, results: Results) -> Any:
        """What the buttons of cards ask for: [action, name, whether every card is shown, time]."""

        def act(text: str, current: str | None, request: gr.Request) -> list[Any]:
            history, nothing = self.history(request), [gr.skip()] * len(results.components)
            try:
                action, name, every, _ = json.loads(text)
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
                return [gr.skip(), *nothing]  # page.js draws the star: new cards would stop what plays
            if action == "delete":
                history.delete(name)
            return [self._cards(history, every or action == "all"), *nothing]

        return act

    def _use(self, values: dict[str, Any], hint: str = "") -> Any:
        """Put the sample that is shown in as the recording, in a mode; levels after the first are redone by default."""
        names = self._controls.levels.names
        values = {"edit_keep_levels": names[0] if len(names) > 1 else "", **values}

        def use(current: str | None, request: gr.Request) -> list[Any]:
            wanted = {**values, "recording": None if current is None else self._serve(there(Path(current)))}
            if current is not None and wanted["edit_mode"] == "Repaint":
                wanted |= dict(zip(PLACES, proposed_part(read_header(current)[0]), strict=True))
            self.forget(request)
            filled = [gr.update(value=wanted[name]) if name in wanted else gr.skip() for name in self._controls.components]
            return [*filled, hinted(hint)]

        return use

    def _settings_of_current(self, current: str, request: gr.Request) -> list[Any]:
        return self._settings_of_text(there(Path(current)).with_suffix(".json").read_text(encoding="utf-8"), request)

    def _seed_of_current(self, current: str, request: gr.Request) -> list[Any]:
        """Seed and number of samples that give the sample again, and what to know of them."""
        settings = json.loads(there(Path(current)).with_suffix(".json").read_text(encoding="utf-8"))
        words, place = self.taken.take(str(request.session_hash), settings), place_in_batch(settings)
        seed, count = (settings["seed"], 1) if place is None else (place[2], place[1])
        return [seed, count, hinted(words)]

    def _of_fewer(self, seed: float | None, count: float | None, request: gr.Request) -> Any:
        words, wrong = self.taken.of_fewer(str(request.session_hash), seed, count)
        return hinted(words, "snac-wrong" if wrong else "snac-todo") if words else gr.skip()

    def _settings_of_file(self, file: str, request: gr.Request) -> list[Any]:
        return self._settings_of_text(Path(file).read_text(encoding="utf-8", errors="replace"), request)

    def _settings_of_link(self, text: str, request: gr.Request) -> list[Any]:
        return self._settings_of_text(text, request) if text else [gr.skip()] * len(self._inputs)

    def _settings_of_text(self, text: str, request: gr.Request) -> list[Any]:
        """The inputs with the settings in a JSON text, and what is to do then."""
        history = self.history(request)
        find = history.recording if history is not None else lambda *_: None
        try:
            settings = settings_from(text)
            values, lacking = values_of(self._controls, settings, find)
        except SnacPluginError as error:  # in place of what was said of settings before
            return [*[gr.skip()] * len(self._controls.components), hinted(str(error), "snac-wrong")]
        of_batch = self.taken.take(str(request.session_hash), settings, values["edit_mode"], lacking)
        hints = [f"The inputs have the settings of seed {settings['seed']}.", of_batch]
        sure = len(hints)
        if lacking:
            hints.append(asking(lacking))
        if unknown := unknown_in(settings):
            hints.append(f"Nothing here reads {', '.join(unknown)}.")
        if (made_by := (settings.get("model") or {}).get("fingerprint")) not in (None, self._fingerprint):
            name = Path(str(settings.get("checkpoint") or "another checkpoint")).name
            hints.append(f"That sample was made by another model ({name}, {made_by}); this page's own makes another sample.")
        for flag in ("lora", "autoguidance"):
            if places := settings.get(flag):
                hints.append(f"That sample was made with --{flag} {' '.join(places)}; this page has what it was started with.")
        files = {name: self._serve(Path(values[name])) for name in ("recording", "edit_bridge_second") if values[name]}
        filled = [gr.update(value={**values, **files}[name]) for name in self._controls.components]
        return [*filled, hinted(" ".join(filter(None, hints)), "snac-wrong" if len(hints) > sure else "snac-todo")]
