"""Settings of earlier samples back in: from a JSON file, pasted text or a link."""

import html
import json
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from snac_plugin.errors import UsageError, did_you_mean
from snac_plugin.generation.batch import PER_SAMPLE, check_batch, sample_seeds
from snac_plugin.generation.option import as_written
from snac_plugin.generation.request import EDITING, OPTIONS, WRITING, options_in, writing_in
from snac_plugin.generation.settings import check_each_level, check_metadata, check_request
from snac_plugin.generation.settings_form import FORM, check_kinds, without_nulls
from snac_plugin.interface.controls import NEGATIVE, NEWEST, OTHER_OPTIONS, SLIDERS, Controls
from snac_plugin.interface.limits import check_count
from snac_plugin.interface.modes import PLACES, mode_of

Find = Callable[[str, str], Path | None]
_SAMPLING = ("seed", "new_seconds", "seconds", "steps", "sampler", "temperature", "cfg_scale", "cfg_rescale", "cfg_interval")
LINKED = (*_SAMPLING, *NEWEST, "batch_size", "batch_seed", "guidance", *WRITING, "lora", "autoguidance", "digests")
"""Settings that a link holds, besides conditioning and what says how a recording is changed."""

NOTES = ("shift", "confidence_noise", "remask", "chunks", "checkpoint", "model", "codec", "device", "versions", "continues")
KNOWN = tuple(dict.fromkeys((*LINKED, "conditioning", "negative_conditioning", *OPTIONS, *NOTES)))
"""What the JSON file of a sample holds; not all of it is read."""
BY_COMMAND = "`python generate.py --settings FILE` makes that sample again."
NOT_IN = {"Repaint": ("strength", "keep_levels"), "Loop": ("strength", "keep_levels", "only_new")}
"""By mode, options that the command takes beside it and the page does not."""


def link_with(settings: Mapping[str, Any]) -> str:
    """A link that opens the page with the settings of a sample; recordings in it are names, and have to be put in."""
    kept = {
        name: settings[name]
        for name in (*LINKED, "conditioning", "negative_conditioning", *EDITING)
        if settings.get(name) is not None
    }
    for name in ("edit", "before"):
        if name in kept:
            kept[name] = Path(kept[name]).name
    if "bridge" in kept:
        kept["bridge"] = [Path(one).name for one in kept["bridge"]]
    if "continues" in settings:
        kept["continues"] = {name: settings["continues"].get(name) for name in ("file", "digest")}
    query = urllib.parse.urlencode({"settings": json.dumps(kept, separators=(",", ":"), default=str)})
    return f'<a class="snac-link" href="?{html.escape(query)}">Link to the page with these settings</a>'


def settings_from(text: str) -> dict[str, Any]:
    """Settings in the JSON text of an earlier sample; UsageError for anything else."""
    if not text.strip():
        raise UsageError("settings", "nothing", FORM)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        cut_off = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        end = text.rstrip().split("\n")
        place = (
            f"line {len(end)}, column {len(end[-1]) + 1}" if cut_off else f"line {error.lineno}, column {error.colno}: {error.msg}"
        )
        raise UsageError("settings", f"JSON that is {'cut off' if cut_off else 'wrong'} at {place}", FORM) from None
    except (ValueError, RecursionError):
        raise UsageError("settings", "no JSON", FORM) from None
    for name in unknown_in(found) if isinstance(found, dict) else ():
        if advice := did_you_mean(name, KNOWN):
            raise UsageError("settings", f'the key "{name}"', FORM, advice)
    settings = without_nulls(found) if isinstance(found, dict) else {}
    if "seed" not in settings:
        raise UsageError("settings", "JSON without a seed", FORM)
    return settings


def unknown_in(settings: Mapping[str, Any]) -> list[str]:
    """Keys that no sample's JSON file has."""
    return [name for name in settings if name not in KNOWN]


def values_of(controls: Controls, settings: Mapping[str, Any], find: Find) -> tuple[dict[str, Any], dict[str, str]]:
    """Values of all inputs that make a sample with these settings again, and by input the recordings that have to be put in.

    `find` gives the browser's own file for name and digest of a recording: no path in the settings is ever opened.
    """
    own = {name: getattr(component, "value", None) for name, component in controls.components.items()}
    check_kinds(settings)
    check_batch(settings)
    options, levels = options_in(settings) | writing_in(settings), controls.levels.names
    for name in ("steps", "strength"):  # of another codec there may be other levels
        check_each_level(name, options.get(name), levels)
    for name in PER_SAMPLE:
        if isinstance(options.get(name), list):
            raise UsageError(name, as_written(options[name]), "an object, the same for all samples on the page", BY_COMMAND)
        check_metadata(options.get(name) or {}, controls.config, complete=False, where=name)
    values, names = own | _sampling(controls, options) | _conditions(controls, options), _recordings(settings, options)
    values |= dict.fromkeys(("recording", "edit_bridge_second")) | _changes(controls, options, bool(names))
    _check_asked(controls, values | names)
    digests = settings.get("digests") or [(settings.get("continues") or {}).get("digest")]
    digest_by_input = dict(zip(names, map(str, filter(None, digests)), strict=False))
    found = {parameter: find(name, digest_by_input.get(parameter, "")) for parameter, name in names.items()}
    values |= {parameter: str(path) for parameter, path in found.items() if path is not None}
    return values, {parameter: Path(names[parameter]).name for parameter, path in found.items() if path is None}


def _check_asked(controls: Controls, values: Mapping[str, Any]) -> None:
    """UsageError, by the key of the settings, for what would be refused once these values are generated from."""
    if values["seed"] != -1:
        sample_seeds(values["seed"], 1)
    check_count(values["batch_size"])
    keys = {parameter: option for option, parameters in SLIDERS.items() for parameter in parameters}
    for name, box in controls.components.items():
        if isinstance(box, gr.Slider) and not box.minimum <= values[name] <= box.maximum:
            key = "steps" if name.startswith("steps_") else keys.get(name, name)
            raise UsageError(key, values[name], f"{box.minimum:g} to {box.maximum:g} on the page", BY_COMMAND)
    check_request(controls.request(values), controls.config, controls.levels.names)


def _recordings(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """By the page's input, the recordings that settings name."""
    if "bridge" in options:
        return dict(zip(("recording", "edit_bridge_second"), map(str, options["bridge"]), strict=True))
    if "before" in options:
        return {"edit_bridge_second": str(options["before"])}
    name = options.get("edit") or (settings.get("continues") or {}).get("file")
    return {"recording": str(name)} if name else {}


def _changes(controls: Controls, options: Mapping[str, Any], has_recordings: bool) -> dict[str, Any]:
    mode = mode_of(dict(options))
    if has_recordings and mode not in controls.modes:
        raise UsageError("settings", "a recording that is continued", "none: this model sees no context")
    mode = "From nothing" if mode == "Continue" and not has_recordings else mode
    if lost := next((name for name in NOT_IN.get(mode, ()) if name in options and options[name] is not False), None):
        raise UsageError(
            "settings", f"`{lost}` beside `{mode.lower()}`", f"no `{lost}`: the mode {mode} has no input for it", BY_COMMAND
        )
    values: dict[str, Any] = {"edit_mode": mode, "edit_from_second": options.get("from_second")} | dict.fromkeys(PLACES)
    values |= {name: bool(options.get(name.removeprefix("edit_"))) for name in ("edit_only_new", "edit_put_back")}
    spans: Sequence[tuple[float, float]] = options.get("repaint") or ()
    if len(spans) == 1:
        values |= {"edit_repaint_from": spans[0][0], "edit_repaint_to": spans[0][1]}
    elif spans:
        values["edit_repaint"] = ",".join(f"{first}:{last}" for first, last in spans)
    values["edit_keep_levels"] = options.get("keep_levels", "")
    values["edit_match"] = "" if options.get("match", True) else "off"
    values |= {"edit_width": "mono" if options.get("width") == "mono" else "", "edit_format": options.get("format") or ""}
    if (strength := options.get("strength")) is not None:
        names = controls.levels.names
        by_level = strength if isinstance(strength, Mapping) else dict.fromkeys(names, strength)
        values |= {f"edit_strength_{name.lower()}": float(by_level[name]) for name in names}
    return values


def _sampling(controls: Controls, options: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"seed": options["seed"], "batch_size": options.get("batch_size", 1)}
    if "seconds" in options:
        values["seconds"] = options["seconds"]
    if (steps := options.get("steps")) is not None:
        values |= _steps(controls, steps)
    if options.get("sampler"):
        values["sampler"] = options["sampler"]
    for option, parameters in SLIDERS.items():
        if options.get(option) is not None:
            value = options[option]
            values |= dict(zip(parameters, value if isinstance(value, tuple) else (value,), strict=True))
    values |= {name: str(options.get(name, "")) for name in OTHER_OPTIONS}
    return values | {"guidance": ",".join(f"{name}={scale!r}" for name, scale in (options.get("guidance") or {}).items())}


def _steps(controls: Controls, steps: Any) -> dict[str, Any]:
    """Steps in all, or, where they are split in another way than the page splits them, of each level."""
    names = controls.levels.names
    if isinstance(steps, int):
        return {"steps": steps}
    by_level = steps if isinstance(steps, Mapping) else dict(zip(names, steps, strict=False))
    if len(by_level) != len(steps) or len(steps) != len(names):
        raise UsageError("steps", as_written(steps), f"one number, or one for each of the levels {', '.join(names)}")
    total = sum(by_level.values())
    values, split = {"steps": total}, controls.sampling.steps_per_level(names, controls.asked(total))
    if [by_level[name] for name in names] != list(split):
        values |= {"steps_by_level": True} | {f"steps_{name.lower()}": count for name, count in by_level.items()}
    return values


def _conditions(controls: Controls, options: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the conditioners' inputs; what these cannot hold is JSON."""
    wanted, unwanted = dict(options.get("conditioning") or {}), dict(options.get("negative_conditioning") or {})
    values: dict[str, Any] = {}
    for key, control in controls.inputs.items():
        if key in wanted and (found := control.holds(wanted[key])) is not None:
            values |= found
            del wanted[key]
    for key, name in controls.negative.items():
        if unwanted.get(key):
            values[name] = unwanted.pop(key)
    if "conditioning" in controls.components:
        values["conditioning"] = json.dumps(wanted)
    return values | {NEGATIVE: json.dumps(unwanted)}
