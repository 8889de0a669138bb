"""The page's inputs for whatever conditioners a config names."""

import inspect
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from stable_audio_tools.models import conditioners
from tiny import LEVELS_32KHZ, tiny_model_config, write_tiny_codec

from snac_plugin.config import check_model_config
from snac_plugin.config.conditioner_keys import NUMBER_TYPES
from snac_plugin.errors import UsageError
from snac_plugin.generation.request import EDITING
from snac_plugin.generation.settings import check_request
from snac_plugin.interface import layout
from snac_plugin.interface.controls import CLIENT, OF_LEVELS, OTHERS, Controls
from snac_plugin.interface.making import PageGenerator
from snac_plugin.interface.page import _endpoint
from snac_plugin.interface.runs import Runs


def lay_out(folder: Path, conditioning: list[dict[str, Any]], **network: Any) -> Controls:
    """Controls of a model with those conditioners, all of them global."""
    config = tiny_model_config(write_tiny_codec(folder), global_cond_dim=8 * len(conditioning), **network)
    if conditioning:
        config["model"]["conditioning"] = {"configs": conditioning, "cond_dim": 8}
        config["model"]["diffusion"]["global_cond_ids"] = [entry["id"] for entry in conditioning]
        config["training"]["demo"]["demo_cond_from_batch"] = True
    controls = Controls(check_model_config(config), LEVELS_32KHZ)
    with gr.Blocks():
        layout.lay_out(controls)
    return controls


def values(controls: Controls) -> dict[str, Any]:
    """What the page would send as it stands."""
    return {name: getattr(component, "value", None) for name, component in controls.components.items()}


@pytest.mark.parametrize(("kind", "name"), [("int", "IntConditioner"), ("number", "NumberConditioner")])
def test_a_number_without_bounds_gets_its_conditioner_s_own(tmp_path: Path, kind: str, name: str) -> None:
    parameters = inspect.signature(getattr(conditioners, name)).parameters
    low, high = parameters["min_val"].default, parameters["max_val"].default
    assert NUMBER_TYPES[kind] == (low, high)
    slider: Any = lay_out(tmp_path, [{"id": "tempo", "type": kind, "config": {}}]).components["tempo"]
    assert (slider.minimum, slider.maximum) == (low, high)


def test_no_id_takes_the_name_of_another_input_or_of_python(tmp_path: Path) -> None:
    ids = [*OTHERS, *CLIENT, "steps_a", "key no", "key-no", "key_no", "cond_seed", "2nd", "class"]
    conditioning = [{"id": key, "type": "number", "config": {"min_val": i, "max_val": i + 1}} for i, key in enumerate(ids)]
    controls = lay_out(tmp_path, conditioning)
    model: Any = None
    none: Any = None
    inspect.signature(_endpoint(none, Runs(), PageGenerator(model, controls, tmp_path, str), none, lambda request: None, {}))
    assert controls.inputs["seed"].parameters == ("cond_seed",)
    assert controls.inputs["key no"].parameters == ("key_no",)
    assert len({one.parameters for one in controls.inputs.values()}) == len(ids)
    request = controls.request(values(controls))
    assert request.conditioning == {key: i + 0.5 for i, key in enumerate(ids)}, "an input reached another's conditioner"


def test_a_list_is_a_dropdown_and_json_still_overrules_it(tmp_path: Path) -> None:
    controls = lay_out(tmp_path, [{"id": "style", "type": "list", "config": {"options": ["house", "techno"]}}])
    shown = values(controls)
    assert controls.request(shown).conditioning == {"style": ""}
    assert controls.request(shown | {"style": "techno"}).conditioning == {"style": "techno"}
    assert controls.request(shown | {"conditioning": '{"style": "house"}'}).conditioning == {"style": "house"}


def test_a_temperature_that_is_moved_is_that_of_all_levels(tmp_path: Path) -> None:
    controls = lay_out(tmp_path, [])
    assert controls.request(values(controls)).temperature is None
    assert controls.request(values(controls) | {"temperature": 0.5}).temperature == 0.5


def test_what_changes_a_recording_is_read_as_the_flags_are(tmp_path: Path) -> None:
    controls = lay_out(tmp_path, [], context_chunks=1)
    plain = values(controls)
    assert not {*EDITING} & {*controls.request(plain).options_set}
    asked = controls.request(plain | {"edit_edit": "a.wav", "edit_repaint": "1:2,3:4", "edit_strength": "A=0,B=0.5,C=1,D=1"})
    assert (asked.edit, asked.repaint, asked.strength) == ("a.wav", ((1, 2), (3, 4)), {"A": 0, "B": 0.5, "C": 1, "D": 1})
    assert asked.seconds is None  # the recording keeps its length
    given = plain | {"recording": "a.wav"}
    assert [controls.request(given | {"edit_match": text}).match for text in ("", "on", "off")] == [None, True, False]
    bridge = controls.request(plain | {"edit_bridge_first": "a.wav", "edit_bridge_second": "b.wav", "edit_put_back": True})
    assert (bridge.bridge, bridge.put_back) == (("a.wav", "b.wav"), True)
    with pytest.raises(UsageError, match="bridge: found"):
        controls.request(plain | {"edit_bridge_first": "a.wav"})
    with pytest.raises(UsageError, match="from_second: found 'soon', expected a number"):
        controls.request(plain | {"recording": "a.wav", "edit_from_second": "soon"})


def test_a_negative_text_does_not_take_a_conditioner_s_name(tmp_path: Path) -> None:
    conditioning = [{"id": key, "type": "t5", "config": {}} for key in ("prompt", "negative_prompt")]
    controls = lay_out(tmp_path, conditioning)
    assert {key: one.parameters for key, one in controls.inputs.items()} == {
        "prompt": ("prompt",),
        "negative_prompt": ("negative_prompt",),
    }
    assert not {"prompt", "negative_prompt"} & {*controls.negative.values()}
    asked = controls.request(values(controls) | {controls.negative["prompt"]: "noise", "prompt": "flute"})
    assert asked.negative_conditioning == {"prompt": "noise"}, "what is left out is dropped, as the command does"


def test_the_endpoint_s_parameters_stay_what_clients_call_them_by(tmp_path: Path) -> None:
    assert list(lay_out(tmp_path, [], context_chunks=1).components) == [
        *("recording", "seconds", "seed", "batch_size", "steps", "steps_by_level", "steps_a", "steps_b", "steps_c", "steps_d"),
        *("sampler", "temperature", "cfg_scale", "cfg_rescale", "cfg_interval_low", "cfg_interval_high"),
        *("edit_edit", "edit_repaint", "edit_keep_levels", "edit_strength", "edit_before", "edit_bridge_first"),
        *("edit_bridge_second", "edit_loop", "edit_from_second", "edit_only_new", "edit_put_back", "edit_match", "edit_width"),
        "edit_format",
        *("edit_mode", "edit_repaint_from", "edit_repaint_to"),
        *("edit_strength_a", "edit_strength_b", "edit_strength_c", "edit_strength_d"),
        *("guidance", "negative_conditioning", "top_p", "added_noise", "cfg_schedule"),
    ]


def test_every_input_of_the_page_itself_is_kept_from_conditioners(tmp_path: Path) -> None:
    """A new input has to be named in OTHERS."""
    own = lay_out(tmp_path, [], context_chunks=1).components.keys()
    assert own - {f"{start}{name}" for start in OF_LEVELS for name in "abcd"} <= set(OTHERS)


def test_steps_that_nobody_moved_are_the_config_s_own(tmp_path: Path) -> None:
    """Split by weights, their sum is another number of steps for each level than the page shows."""
    own = {"A": 6, "B": 8, "C": 10, "D": 24}
    controls = lay_out(tmp_path, [], sampling={"steps": own})
    shown = values(controls)
    assert {name: shown[f"steps_{name.lower()}"] for name in own} == own
    assert check_request(controls.request(shown), controls.config, "ABCD").steps == (6, 8, 10, 24)
    assert controls.request(shown | {"steps": 20}).steps == 20
    assert controls.request(shown | {"steps_by_level": True}).steps == own


def test_masked_codes_have_their_own_samplers_steps_and_temperature(tmp_path: Path) -> None:
    config = tiny_model_config(write_tiny_codec(tmp_path), head="logits")
    config["model"]["diffusion"]["diffusion_objective"] = "masked"
    controls = Controls(check_model_config(config), LEVELS_32KHZ)
    assert [value for _, value in controls.components["sampler"].choices] == ["masked", "masked-random", "masked-halton"]
    assert controls.components["temperature"].visible is True
    asked = controls.request(values(controls) | {"sampler": "masked-halton", "temperature": 0.7, "steps": 9})
    how = check_request(asked, controls.config, "ABCD")
    assert (how.samplers, how.temperatures, sum(how.steps)) == (("masked-halton",) * 4, (0.7,) * 4, 9)
    config["model"]["diffusion"] |= {"diffusion_objective": "v"}
    assert Controls(check_model_config(config), LEVELS_32KHZ).components["temperature"].visible is False


def test_every_slider_tells_the_page_its_own_number(tmp_path: Path) -> None:
    """One that was cleared got the lowest: a length of an eighth of a chunk."""
    controls = Controls(check_model_config(tiny_model_config(write_tiny_codec(tmp_path), context_chunks=1)), LEVELS_32KHZ)
    sliders = {name: one for name, one in controls.components.items() if isinstance(one, gr.Slider)}
    assert {name: f"snac-own-{one.value}" for name, one in sliders.items()} == {
        n: one.elem_classes[0].strip() for n, one in sliders.items()
    }
    assert sliders["seconds"].elem_classes == ["snac-own-0.384 "]
