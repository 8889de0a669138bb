"""Each mode asks for what it says, and settings of a sample bring its mode and inputs back."""

import json
import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from tiny import LEVELS_32KHZ, tiny_model_config, write_tiny_codec

from snac_plugin.config import check_model_config
from snac_plugin.config.condition_values import class_weights, quality_weights
from snac_plugin.errors import UsageError
from snac_plugin.generation.settings import check_request
from snac_plugin.interface.condition_controls import mixed
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.modes import JOINS, MODES, counting, refuse_unmarked
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


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"edit_put_back": True}, "edit_put_back: found True, expected nothing in the mode Continue"),
        ({"edit_only_new": True}, "edit_only_new: found True"),  # without a recording all is new
        ({"edit_keep_levels": "A"}, "edit_keep_levels: found 'A'"),
        ({"edit_mode": "From nothing", "recording": "a.wav"}, "recording: found 'a.wav'"),
        ({"edit_mode": "Loop", "edit_match": "off"}, "edit_match: found 'off'"),
        ({"edit_mode": "Vary", "recording": "a.wav", "seconds": 3}, "seconds: found 3"),
        ({"edit_mode": "Vary", "recording": "a.wav", "edit_keep_levels": "A", "edit_strength_a": 0.5}, "edit_strength_a"),
        ({"edit_mode": "Vary", "recording": "a.wav", "edit_strength": "0.5"}, "edit_strength: found '0.5'"),
        ({"edit_mode": "Repaint", "recording": "a.wav", "edit_repaint": "1:2,3:4", "edit_repaint_to": 9}, "edit_repaint_to"),
        ({"edit_edit": "a.wav", "recording": "b.wav"}, "recording: found 'b.wav', expected nothing beside edit_edit"),
        ({"edit_edit": "a.wav", "edit_mode": "Loop"}, "edit_mode: found 'Loop', expected nothing beside edit_edit"),
    ],
)
def test_a_client_is_told_of_what_would_do_nothing(controls: Controls, values: dict[str, Any], found: str) -> None:
    """The page hides such inputs, and then they do not count."""
    with pytest.raises(UsageError, match=re.escape(found)):
        controls.refuse_idle(values)
    controls.refuse_idle(controls.counted(values))
    controls.refuse_idle({})
    controls.refuse_idle({"edit_edit": "a.wav", "edit_keep_levels": "A", "edit_only_new": True})
    controls.refuse_idle({"edit_mode": "Bridge", "edit_bridge_second": "b.wav", "edit_put_back": True, "seconds": 1})


def test_a_mode_shows_what_counts(controls: Controls) -> None:
    def shown(mode: str, **values: Any) -> set[str]:
        return counting(mode, values, "ABCD")

    assert shown("Continue") == {"recording", "seconds"}
    assert shown("Continue", recording="a.wav") == {"recording", "seconds", "edit_from_second", "edit_only_new", *JOINS}
    assert shown("Loop", recording="a.wav") == {"recording", "edit_put_back", *JOINS}, "a recording keeps its length"
    assert shown("Vary", edit_keep_levels="A") == {"recording", "edit_keep_levels"}
    assert shown("From nothing") == {"seconds"}


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
        {"edit_mode": "From nothing", "guidance": "context=0.1"},
        {"edit_mode": "From nothing", "guidance": "context=2", "cfg_scale": 3},
        {"edit_mode": "From nothing", "sampler": "euler", "added_noise": "0.3", "cfg_schedule": "rising"},
    ],
)
def test_settings_bring_back_what_was_asked(controls: Controls, values: dict[str, Any]) -> None:
    request = controls.request({"recording": "a.wav", **values})
    settings = {"seed": 5, "seconds": 0.384, **json.loads(json.dumps(request.as_dict()))}
    named = ("steps", "guidance", "cfg_scale", "sampler", "added_noise", "cfg_schedule")
    settings |= {name: value for name in named if (value := getattr(request, name))}
    again, lacking = values_of(controls, settings_from(json.dumps(settings)), lambda name, _: Path(name))
    assert controls.request(again) == request
    assert (again["seed"], lacking) == (5, {})


def test_recordings_that_settings_name_are_never_opened_by_their_path(controls: Controls) -> None:
    settings = {"seed": 1, "edit": "/etc/secret.wav", "keep_levels": "A"}
    values, lacking = values_of(controls, settings, lambda *_: None)
    assert values["recording"] is None
    assert lacking == {"recording": "secret.wav"}
    assert "/etc/" not in link_with(settings)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"steps": {"A": 1, "B": 1, "C": 1}}, "steps: found A=1,B=1,C=1 and nothing for D"),
        ({"steps": {"A": 1, "B": 1, "C": 1, "D": 1, "E": 1}}, "steps: found level E, expected one number, or one for each"),
        ({"edit": "a.wav", "strength": {"A": 0, "B": 0.5, "C": 1}}, "strength: found A=0,B=0.5,C=1 and nothing for D"),
    ],
)
def test_settings_of_a_codec_with_other_levels_are_told(controls: Controls, said: dict[str, Any], found: str) -> None:
    """Steps of three levels were taken, with the default of the fourth; strengths ended in `values of other kinds`."""
    with pytest.raises(UsageError, match=found):
        values_of(controls, {"seed": 1, **said}, lambda *_: None)


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"steps": 3}'])
def test_other_text_is_said_to_be_no_settings(controls: Controls, text: str) -> None:
    with pytest.raises(UsageError, match=r"settings: found .*, expected the content of the JSON file beside a sample"):
        values_of(controls, settings_from(text), lambda *_: None)


@pytest.mark.parametrize("changes", [{"strength": 0.3}, {"strength": 0.0}, {"keep_levels": "A"}, {"only_new": True}])
@pytest.mark.parametrize("mode", [{"repaint": [[0.1, 0.2]]}, {"loop": True}])
def test_what_a_mode_has_no_input_for_is_told(controls: Controls, mode: dict[str, Any], changes: dict[str, Any]) -> None:
    """What the command makes so came in without its strength, and sounded otherwise."""
    settings, (name,) = {"seed": 1, "edit": "a.wav", **mode, **changes}, changes
    if mode.keys() | changes.keys() == {"repaint", "only_new"}:
        assert controls.request(values_of(controls, settings, Path)[0]).only_new
        return
    with pytest.raises(UsageError, match=rf"settings: found {name} beside \w+, expected no {name}: .* --settings FILE"):
        values_of(controls, settings, Path)


def test_a_sample_of_a_batch_that_was_solved_as_one_is_not_made_alone(controls: Controls) -> None:
    """Settings of earlier versions, which gave another sample without a word."""
    settings = {"seed": 4, "seconds": 0.384, "batch_size": 2, "sampler": dict.fromkeys("ABCD", "pingpong")}
    with pytest.raises(UsageError, match=r"settings: found one of 2 samples that pingpong made together, expected .batch_seed."):
        values_of(controls, settings, lambda *_: None)
    values, _ = values_of(controls, settings | {"batch_seed": 3}, lambda *_: None)
    assert (values["seed"], values["batch_size"]) == (3, 2)
    assert values_of(controls, settings | {"batch_size": 1}, lambda *_: None)[0]["seed"] == 4


CONDITIONING = [
    {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz", "rock"]}},
    {"id": "quality", "type": "quality", "config": {"thresholds": [1, 2, 3, 4]}},
    {"id": "prompt", "type": "t5", "config": {}},
    {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 180}},
]


def conditioned_controls(folder: Path, conditioning: list[dict[str, Any]], demo: dict[str, Any], **training: Any) -> Controls:
    config = tiny_model_config(write_tiny_codec(folder), context_chunks=1, global_cond_dim=8 * len(conditioning))
    config["model"]["conditioning"] = {"configs": conditioning, "cond_dim": 8}
    config["model"]["diffusion"]["global_cond_ids"] = [entry["id"] for entry in conditioning]
    config["training"]["demo"]["demo_cond"] = [demo] * config["training"]["demo"].get("num_demos", 1)
    config["training"] |= training
    return Controls(check_model_config(config), LEVELS_32KHZ)


DEMO = {"style": "jazz", "quality": "low", "prompt": "", "tempo": 90}


@pytest.fixture
def conditioned(tmp_path: Path) -> Controls:
    return conditioned_controls(tmp_path, CONDITIONING, DEMO)


def test_a_mixture_has_sliders_and_a_quality_a_list_behind_what_was_there(conditioned: Controls) -> None:
    names = list(conditioned.components)
    assert names[1:4] == ["prompt", "tempo", "conditioning"]
    newest = ["top_p", "added_noise", "cfg_schedule"]
    assert names[-8:] == ["style_house", "style_jazz", "style_rock", "quality", "negative_conditioning", *newest]
    assert not conditioned.components["conditioning"].visible, "nothing is left to be written as JSON"
    first = conditioned.request({}).conditioning
    assert first == {"prompt": "", "tempo": 120, "style": {"jazz": 1.0}, "quality": "low"}, "as in the config's demo"
    mixed = conditioned.request({"style_house": 0.5, "style_jazz": 0.0, "style_rock": 0.25, "quality": ""}).conditioning
    assert (mixed["style"], mixed["quality"]) == ({"house": 0.5, "rock": 0.25}, "")
    assert conditioned.request({"style_jazz": 0}).conditioning["style"] == "", "no class"
    asked = conditioned.request({"conditioning": '{"style": "rock"}'}).conditioning
    assert asked["style"] == "rock", "as clients have asked until now"


def test_conditions_that_training_dropped_begin_without_a_value(tmp_path: Path) -> None:
    """A slider has a value always: whoever continued a song told the model the middle of all tempos."""
    key = {"id": "key", "type": "list", "config": {"options": ["C", "D"]}}
    dropped = dict.fromkeys(("style", "tempo", "key"), 0.1)
    controls = conditioned_controls(tmp_path, [*CONDITIONING, key], DEMO | {"key": "C"}, condition_dropout=dropped)
    assert controls.request({}).conditioning == {"prompt": "", "style": "", "quality": "low"}
    assert controls.request({"tempo": 120, "style_rock": 1}).conditioning["tempo"] == 120
    said: dict[str, Any]
    for said in ({}, {"tempo": 90}, {"key": "D"}, {"key": ""}):
        wanted = {"prompt": "a", "style": {"jazz": 1.0}, "quality": "low"} | said
        values, _ = values_of(controls, {"seed": 1, "conditioning": wanted}, lambda *_: None)
        assert (values["tempo"], values["key"]) == (str(said.get("tempo", "")), said.get("key", "left to the model"))
        assert controls.request(values).conditioning == wanted, "no key is not the same as one that is left to the model"
    with pytest.raises(UsageError, match="tempo: found 30, expected a number from 60 to 180"):
        values_of(controls, {"seed": 1, "conditioning": {"prompt": "a", "tempo": 30}}, lambda *_: None)
    for typed in ("90", " 90 ", 90, "90.0"):
        assert controls.request({"tempo": typed}).conditioning["tempo"] == 90
    with pytest.raises(UsageError, match='tempo: found "fast", expected a number from 60 to 180'):
        check_request(controls.request({"tempo": "fast"}), controls.config, "ABCD")
    box = controls.components["tempo"]
    assert (type(box), box.info) == (gr.Textbox, "60 to 180; empty: left to the model"), "browsers show an empty gr.Number as 0"


@pytest.mark.parametrize(
    "wanted",
    [
        {"style": "house:0.7,jazz:0.3", "quality": "high", "prompt": "flute", "tempo": "124"},
        {"style": {"house": 7, "rock": 3}, "quality": 2.5, "prompt": "", "tempo": 60.5},
        {"style": "", "quality": {"low": 1, "high": 3}, "prompt": "a", "tempo": 60},
    ],
)
@pytest.mark.parametrize("unwanted", [None, {"tempo": 60}, {"prompt": "noise", "style": "jazz"}, {"prompt": ""}])
def test_settings_bring_conditions_back(conditioned: Controls, wanted: dict[str, Any], unwanted: dict[str, Any] | None) -> None:
    """A negative came back with its texts alone."""
    settings = {"seed": 1, "conditioning": wanted, "negative_conditioning": unwanted}
    values, _ = values_of(conditioned, settings, lambda *_: None)
    again = conditioned.request(values)
    assert again.negative_conditioning == unwanted
    assert float(again.conditioning["tempo"]) == float(wanted["tempo"])
    assert again.conditioning["prompt"] == wanted["prompt"]
    classes = ("house", "jazz", "rock")
    assert class_weights(again.conditioning["style"], classes) == class_weights(wanted["style"], classes)
    assert quality_weights(again.conditioning["quality"], (1, 2, 3, 4)) == quality_weights(wanted["quality"], (1, 2, 3, 4))


def test_a_condition_of_another_model_is_told(controls: Controls) -> None:
    with pytest.raises(UsageError, match="the key 'style', expected nothing: this model was trained without conditioning"):
        values_of(controls, {"seed": 1, "conditioning": {"style": "jazz"}}, lambda *_: None)


def test_a_mixture_is_said_in_shares_that_sum_to_a_whole() -> None:
    assert mixed("Style", ("house", "jazz"), 1.0, 0.25) == "Style: 80 % house, 20 % jazz"
    assert mixed("Style", ("house", "jazz"), 0.0, None) == "Style: none"


@pytest.mark.parametrize(
    ("first", "last", "found"), [(0.5, None, "no end"), (None, None, "no beginning and no end"), (0, 0, "no end")]
)
def test_a_region_that_nobody_marked_is_not_repainted(first: float | None, last: float | None, found: str) -> None:
    values = {"edit_mode": "Repaint", "recording": "a.wav", "edit_repaint_from": first, "edit_repaint_to": last}
    with pytest.raises(UsageError, match=f"found {found}, expected"):
        refuse_unmarked(values)
    for marked in ({"edit_repaint_from": 0.0, "edit_repaint_to": 0.5}, {"edit_repaint": "1:2"}, {"edit_mode": "Loop"}):
        refuse_unmarked(values | marked)
