"""Each mode asks for what it says, and settings of a sample bring its mode and inputs back."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import LEVELS_32KHZ, tiny_model_config, write_tiny_codec

from snac_plugin.config import check_model_config
from snac_plugin.errors import UsageError
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.modes import MODES
from snac_plugin.interface.settings_in import link_with, settings_from, values_of


@pytest.fixture
def controls(tmp_path: Path) -> Controls:
    config = tiny_model_config(write_tiny_codec(tmp_path), context_chunks=1)
    return Controls(check_model_config(config), LEVELS_32KHZ)


def asked(controls: Controls, **values: Any) -> dict[str, Any]:
    """The options that a request has with these values, and the inputs' own for the others."""
    request = controls.request(values)
    return {name: getattr(request, name) for name in request.options_set if name not in ("sampler", "seconds")}


def test_each_mode_asks_for_what_it_says(controls: Controls) -> None:
    given = {
        "recording": "a.wav",
        "edit_bridge_second": "b.wav",
        "edit_keep_levels": "AB",
        "edit_repaint_from": 1,
        "edit_repaint_to": 2,
    }
    made = {mode: asked(controls, edit_mode=mode, **given) for mode in MODES}
    back = {"put_back": True}  # the model was not trained on gaps
    assert made == {
        "Continue": {},
        "Repaint": {"edit": "a.wav", "repaint": ((1.0, 2.0),), **back},
        "Vary": {"edit": "a.wav", "keep_levels": "AB"},
        "Bridge": {"bridge": ("a.wav", "b.wav"), **back},
        "Loop": {"edit": "a.wav", "loop": True, **back},
        "From nothing": {},
    }


def test_without_a_recording_a_mode_does_what_it_can_or_says_what_it_lacks(controls: Controls) -> None:
    assert asked(controls, edit_mode="Bridge", edit_bridge_second="b.wav") == {"before": "b.wav", "put_back": True}
    assert asked(controls, edit_mode="Loop") == {"loop": True, "put_back": True}
    for mode in ("Repaint", "Vary"):
        with pytest.raises(UsageError, match=f"recording to {mode.lower()}: found none, expected an audio file"):
            controls.request({"edit_mode": mode})


def test_what_a_mode_does_not_show_does_not_count(controls: Controls) -> None:
    left_over = {"edit_only_new": True, "edit_from_second": 3, "edit_keep_levels": "A", "edit_put_back": True, "recording": "a.wav"}
    assert asked(controls, edit_mode="From nothing", **left_over) == {}
    assert asked(controls, edit_mode="Vary", **left_over) == {"edit": "a.wav", "keep_levels": "A"}


def test_a_number_that_was_cleared_gives_its_default_back(controls: Controls) -> None:
    assert controls.request({"seconds": None, "seed": None, "cfg_scale": None}) == controls.request({})


@pytest.mark.parametrize(
    "values",
    [
        {"edit_mode": "Repaint", "edit_repaint_from": 0.5, "edit_repaint_to": 0.75, "edit_only_new": True},
        {"edit_mode": "Vary", "edit_keep_levels": "AB"},
        {"edit_mode": "Vary", "edit_strength_a": 0.1, "steps_by_level": True, "steps_d": 7},
        {"edit_mode": "Loop", "steps": 12},
        {"edit_mode": "Bridge", "edit_bridge_second": "b.wav"},
        {"edit_mode": "Vary", "edit_keep_levels": "A", "edit_match": "off", "edit_width": "mono", "edit_format": "flac"},
        {"edit_mode": "From nothing", "guidance": "context=2,style=0.1"},
        {"edit_mode": "From nothing", "guidance": "context=2", "cfg_scale": 3},
    ],
)
def test_settings_bring_back_what_was_asked(controls: Controls, values: dict[str, Any]) -> None:
    request = controls.request({"recording": "a.wav", **values})
    settings = {"seed": 5, "seconds": 0.384, **json.loads(json.dumps(request.as_dict()))}
    settings |= {name: value for name in ("steps", "guidance", "cfg_scale") if (value := getattr(request, name))}
    again, lacking = values_of(controls, settings_from(json.dumps(settings)), lambda name: Path(name))
    assert controls.request(again) == request
    assert (again["seed"], lacking) == (5, [])


def test_recordings_that_settings_name_are_never_opened_by_their_path(controls: Controls) -> None:
    settings = {"seed": 1, "edit": "/etc/secret.wav", "keep_levels": "A"}
    values, lacking = values_of(controls, settings, lambda name: None)
    assert values["recording"] is None
    assert lacking == ["secret.wav"]
    assert "/etc/" not in link_with(settings)


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"steps": 3}', '{"seed": 1, "steps": "many"}', '{"seed": []}'])
def test_other_text_is_said_to_be_no_settings(controls: Controls, text: str) -> None:
    with pytest.raises(UsageError, match=r"settings: found .*, expected the content of the JSON file beside a sample"):
        values_of(controls, settings_from(text), lambda name: None)
