"""What is done with a recording. A mode shows the inputs that it needs and turns their values into options of a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snac_plugin.errors import UsageError
from snac_plugin.generation.option import spans_in

Values = Mapping[str, Any]
Options = dict[str, Any]


@dataclass(frozen=True)
class Mode:
    """One way to make music."""

    says: str  # what it does, and what happens without a recording
    recording: str  # label of its recording; "" for none
    shows: tuple[str, ...]  # endpoint parameters of the other inputs that it needs
    options: Callable[[Values, str], Options]  # from all values and the names of the levels
    beside_recording: tuple[str, ...] = ()  # inputs that it needs if there is a recording
    without_recording: tuple[str, ...] = ()  # inputs that it needs if there is none


def wanted(values: Values, name: str, what: str) -> Any:
    """The file that an input holds; UsageError if it is empty."""
    if not values.get(name):
        raise UsageError(what.lower(), "none", "an audio file", "Drop one there, or choose another mode.")
    return values[name]


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(name, repr(value), "a number") from None


def _continue(values: Values, names: str) -> Options:
    if not values.get("recording"):
        return {}
    second = values.get("edit_from_second")
    return {"only_new": values["edit_only_new"] or None} | ({"from_second": _number("from_second", second)} if second else {})


def _repaint(values: Values, names: str) -> Options:
    recording = wanted(values, "recording", "Recording to repaint")
    first, last = values["edit_repaint_from"] or 0.0, values["edit_repaint_to"]
    if not values["edit_repaint"] and (last is None or not 0 <= float(first) < float(last)):
        found = f"{float(first):g} s to {'nothing' if last is None else f'{float(last):g} s'}"
        raise UsageError("repaint", found, "seconds from 0 on, the end behind the beginning", "Mark a part of the lower waveform.")
    spans = spans_in(values["edit_repaint"]) if values["edit_repaint"] else ((float(first), float(last)),)
    return {"edit": recording, "repaint": spans, "only_new": values["edit_only_new"] or None}


def refuse_unmarked(values: Values) -> None:
    """UsageError for a repaint on the page whose region was emptied, or not marked yet."""
    beginning, end = (values.get(name) for name in PLACES)
    empty = (["no beginning"] if beginning is None else []) + ([] if end else ["no end"])
    if values.get("edit_mode") == "Repaint" and values.get("recording") and not values.get("edit_repaint") and empty:
        advice = "Mark the part on the lower waveform, or type From (s) and To (s)."
        raise UsageError("repaint", " and ".join(empty), "seconds from 0 on", advice)


def _vary(values: Values, names: str) -> Options:
    recording = wanted(values, "recording", "Recording to vary")
    if values["edit_keep_levels"]:
        return {"edit": recording, "keep_levels": values["edit_keep_levels"]}
    return {"edit": recording, "strength": {name: float(values[one]) for name, one in zip(names, strengths(names), strict=True)}}


def _bridge(values: Values, names: str) -> Options:
    second, only_new = wanted(values, "edit_bridge_second", "Recording that it leads into"), values["edit_only_new"] or None
    if values.get("recording"):
        return {"bridge": (values["recording"], second), "only_new": only_new}
    return {"before": second, "only_new": only_new}


def _loop(values: Values, names: str) -> Options:
    return {"loop": True} | ({"edit": values["recording"]} if values.get("recording") else {})


MODES = {
    "Continue": Mode(
        "Music that follows a recording. Without one it begins from nothing, the weakest of what a model can do.",
        "Recording to continue",
        ("seconds",),
        _continue,
        beside_recording=("edit_from_second", "edit_only_new"),
    ),
    "Repaint": Mode(
        "A part of a recording anew: what is red on the lower waveform. Drag there to mark another, or type its seconds.",
        "Recording to repaint",
        ("edit_repaint_from", "edit_repaint_to", "edit_only_new", "edit_put_back"),
        _repaint,
    ),
    "Vary": Mode(
        "The recording again, in other detail. Level A is its plan, the last level its finest detail.",
        "Recording to vary",
        ("edit_keep_levels",),
        _vary,
    ),
    "Bridge": Mode(
        "Music between two recordings. Without the first: music that leads into the second.",
        "First recording",
        ("edit_bridge_second", "seconds", "edit_only_new", "edit_put_back"),
        _bridge,
    ),
    "Loop": Mode(
        "Music whose end leads into its beginning. With a recording: both its ends anew, so that it becomes a loop.",
        "Recording to loop (optional)",
        ("edit_put_back",),
        _loop,
        without_recording=("seconds",),
    ),
    "From nothing": Mode("Music from noise alone.", "", ("seconds",), lambda values, names: {}),
}
"""By name, as the page shows them."""
PLACES = ("edit_repaint_from", "edit_repaint_to")
JOINS = ("edit_match", "edit_width")
"""Inputs that count wherever something new lies beside a recording."""
OF_MODES = tuple(
    dict.fromkeys(name for mode in MODES.values() for name in (*mode.shows, *mode.beside_recording, *mode.without_recording))
)
"""Inputs that some modes need, besides a recording, several places and strengths."""


def strengths(names: str) -> list[str]:
    """The inputs of how far each level goes from a recording."""
    return [f"edit_strength_{name.lower()}" for name in names]


def counting(mode: str, values: Values, names: str) -> set[str]:
    """The inputs that count in a mode, with these values, and not in every mode."""
    chosen = MODES[mode]
    found = {*chosen.shows, *(chosen.beside_recording if values.get("recording") else chosen.without_recording)}
    if mode == "Bridge" or (chosen.recording and values.get("recording")):
        found |= {*JOINS}
    if mode == "Vary" and not values.get("edit_keep_levels"):
        found |= {*strengths(names)}
    if mode == "Repaint" and values.get("edit_repaint"):  # several places
        found = {*found, "edit_repaint"} - {*PLACES}
    return found | ({"recording"} if chosen.recording else set())


def mode_of(options: Options) -> str:
    """The mode whose options those of a sample are."""
    if options.get("loop"):
        return "Loop"
    if options.get("bridge") or options.get("before"):
        return "Bridge"
    if options.get("edit"):
        return "Repaint" if options.get("repaint") else "Vary"
    return "Continue"
