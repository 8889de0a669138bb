"""The history as cards: player, picture, what it is and where it came from. page.js turns their buttons into actions."""

import html
import urllib.parse
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from snac_plugin.interface.history import Entry, History, Origin, descendants, made_from, origins, with_origins

SHOWN = 24
"""Cards before the others are asked for; favourites, and what the shown ones came from, are always shown."""
EMPTY = '<p class="snac-says">What you make in this browser is kept here.</p>'


def cards(history: History, serve: Callable[[Path], str], every: bool = False) -> str:
    """Cards of the newest samples, all favourites and their origins; `serve` gives a file's path below the page's file route."""
    entries = history.entries()
    by_name = {entry.name: entry for entry in entries}
    first = (entry.name for place, entry in enumerate(entries) if every or place < SHOWN or entry.favourite)
    linked = with_origins(first, by_name)  # whose cards trees lead to
    shown = [entry for entry in entries if entry.name in linked]
    made = made_from(entries)
    parts = [_card(entry, history, serve, origins(entry, by_name), descendants(entry.name, made)) for entry in shown]
    more = len(entries) - len(shown)
    button = f'<button class="snac-more" data-do="all" data-name="">Show {more} more</button>' if more else ""
    return f'<div class="snac-cards">{"".join(parts)}</div>{button}' if parts else EMPTY


def file_url(served: str) -> str:
    """Where the page's server gives a file of its cache, relative to the page."""
    return f"gradio_api/file={urllib.parse.quote(served)}"


def players(samples: Sequence[tuple[str, str]], loops: bool = False) -> str:
    """Players side by side; a name and a served file each. Those of loops repeat."""
    parts = (
        f"<figure><figcaption>{html.escape(name)}</figcaption>"
        f'<div><audio controls preload="none" src="{_source(served)}"></audio>{repeats(loops)}</div></figure>'
        for name, served in samples
    )
    return f'<div class="snac-players">{"".join(parts)}</div>'


def comparison(first: tuple[str, str], second: tuple[str, str]) -> str:
    """Two sounds, of which one is heard, each at the place of the other; page.js plays and swaps them."""
    urls = html.escape(" ".join(file_url(served) for _, served in (first, second)))
    names = "".join(
        f'<button data-ab="{index}">{letter} · {html.escape(name)}</button>'
        for index, (letter, (name, _)) in enumerate(zip("AB", (first, second), strict=True))
    )
    return (
        f'<div class="snac-ab" data-sounds="{urls}"><button data-ab="play">Play</button>{names}'
        f'<input type="range" min="0" max="1" step="any" value="0" aria-label="Place"></div>'
    )


def _source(served: str) -> str:
    return html.escape(file_url(served))


def repeats(pressed: bool, title: str = "↻", name: str = "") -> str:
    """A button that lets the player beside it go round and round; of another `name` gradio draws a new one."""
    look, state = ("snac-repeat snac-on", "true") if pressed else ("snac-repeat", "false")
    of = f' data-of="{html.escape(name)}"' if name else ""
    return f'<button class="{look}" aria-pressed="{state}" aria-label="Repeat" title="Repeat without a gap"{of}>{title}</button>'


def _what(entry: Entry, history: History) -> str:
    """Its mode, and the part that is new in a repaint: what tells it from others of the same recording."""
    spans = history.settings(entry).get("repaint") if entry.mode == "Repaint" else None
    places = ", ".join(f"{first:.1f} to {last:.1f} s" for first, last in spans or ())
    return html.escape(f"{entry.mode} of {places}" if places else entry.mode)


def _tree(came_from: Sequence[Origin], history: History) -> str:
    """Origins as a nested list; samples are links to their cards."""
    lines = []
    for one in came_from:
        entry, more = one.entry, _tree(one.origins, history)
        if entry is None:
            name = html.escape(one.name)
            lines.append(f'<li title="{name}">a sample that was deleted</li>' if one.deleted else f"<li>{name}</li>")
            continue
        if entry.recordings and not more:  # further back than is drawn
            more = "<ul><li>…</li></ul>"
        words = f"{_what(entry, history)} · seed {entry.seed} · {entry.seconds:.1f} s"
        lines.append(f'<li><a href="#{_place(one.name)}" title="{html.escape(one.name)}">{words}</a>{more}</li>')
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _place(name: str) -> str:
    """The id of a sample's card."""
    return f"card-{urllib.parse.quote(name, safe='')}"


def _card(entry: Entry, history: History, serve: Callable[[Path], str], came_from: Sequence[Origin], later: int) -> str:
    name = html.escape(entry.name, quote=True)
    wav, picture = _source(serve(history.audio(entry))), ""
    if history.picture(entry).is_file():
        picture = f'<img src="{_source(serve(history.picture(entry)))}" loading="lazy" alt="Spectrogram of {name}">'
    made = datetime.fromtimestamp(history.audio(entry).stat().st_mtime, timezone.utc)
    when = (
        f'<time datetime="{made.isoformat(timespec="seconds")}">{made:%Y-%m-%d %H:%M} UTC</time>'  # page.js says it in local time
    )
    what = f"<b>{_what(entry, history)}</b> · seed {entry.seed} · {entry.seconds:.1f} s · {when}"
    source = f'<section class="snac-from">from{_tree(came_from, history)}</section>' if came_from else ""
    star, says = ("★", "No longer a favourite") if entry.favourite else ("☆", "Favourite")
    buttons = "".join(
        f'<button data-do="{do}" data-name="{name}" title="{title}">{text}</button>'
        for do, title, text in (
            ("open", "Show it above", "Open"),
            ("compare", "Compare it with the sample above, at the same place", "A/B"),
            ("mark", says, star),
            ("delete", "Delete its files", "Delete"),
        )
    )
    return (
        f'<article class="snac-card{" snac-star" if entry.favourite else ""}" id="{_place(entry.name)}" data-sample="{name}"'
        f' data-later="{later}">'
        f'{picture}<div><audio controls preload="none" src="{wav}"></audio>{repeats(entry.mode == "Loop")}</div>'
        f"<p>{what}</p>{source}<div>{buttons}</div></article>"
    )
