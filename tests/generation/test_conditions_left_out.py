"""Conditions that training dropped may be left out, and are dropped; others must be said."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tiny import conditioned_model_config, write_tiny_codec

from snac_plugin.config import DemoSection, check_model_config
from snac_plugin.errors import ConfigError, UsageError
from snac_plugin.generation.condition_inputs import may_be_left_out
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import check_metadata, check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditioners import blanks
from snac_plugin.plugin import builders
from snac_plugin.training import demo

SAID = {"style": "house", "tempo": 120}


def made(tmp_path: Path, **training: Any) -> SnacDiffusion:
    config = conditioned_model_config(write_tiny_codec(tmp_path / "codec"))
    config["training"] |= training
    config["model"]["conditioning"]["default_keys"] = {"tempo": "bpm"}
    torch.manual_seed(0)
    model = builders.model(config).eval()
    for weight in [*model.model.network.parameters(), *model.conditioner.parameters()]:
        torch.nn.init.normal_(weight, std=0.2)
    return model


@pytest.fixture
def model(tmp_path: Path) -> SnacDiffusion:
    return made(tmp_path, condition_dropout={"style": 0.1, "tempo": 0.1})


@pytest.mark.parametrize("left", [["tempo"], ["style"], ["style", "tempo"]])
def test_what_is_left_out_is_what_training_dropped(model: SnacDiffusion, left: list[str]) -> None:
    """Each sample of a batch for itself: the one beside it keeps what is said of it."""
    place = {"place": (0, 4)}
    whole = model.condition_tensors([SAID | place] * 2)
    part = {key: value for key, value in (SAID | place).items() if key not in left}
    found = model.condition_tensors([SAID | place, part])
    nothing = blanks(whole, model.conditioner.by_id)
    for name, (value, mask) in found.items():
        expected = nothing[name][0] if name in left else whole[name][0]
        assert torch.equal(value[0], whole[name][0][0])
        assert torch.equal(value[1], expected[1])
        assert torch.equal(mask, whole[name][1])


def test_a_key_that_stands_in_says_it_too(model: SnacDiffusion) -> None:
    by_name, by_key = (model.condition_tensors([{"style": "jazz", key: 90, "place": (0, 4)}]) for key in ("tempo", "bpm"))
    assert torch.equal(by_name["tempo"][0], by_key["tempo"][0])


def test_a_negative_by_the_key_that_stands_in_leads_away_too(model: SnacDiffusion) -> None:
    """What was wanted by name took its place, without a word."""
    options: Any = {"conditioning": SAID, "cfg_scale": 3.0, "seed": 1, "steps": 8, "progress": False}
    by_name, by_key = (model.generate(**options, negative_conditioning={key: 60}) for key in ("tempo", "bpm"))
    assert torch.equal(by_name, by_key)
    assert not torch.equal(by_key, model.generate(**options, negative_conditioning={"bpm": 120}))


def test_a_condition_that_is_said_twice_is_refused(model: SnacDiffusion) -> None:
    """A line of --prompts with the key over a flag with the id: the key was ignored."""
    with pytest.raises(UsageError, match="found bpm 90 beside tempo 120, expected one of both: bpm stands in for tempo where"):
        check_request(Request(conditioning=SAID | {"bpm": 90}), model.config, model.levels.names)
    for same in (120, "120", [120]):
        check_request(Request(conditioning=SAID | {"bpm": same}), model.config, model.levels.names)


def test_an_id_that_stands_in_for_another_is_no_second_saying(tmp_path: Path) -> None:
    config = conditioned_model_config(write_tiny_codec(tmp_path / "codec"))
    config["model"]["conditioning"]["default_keys"] = {"tempo": "speed"}
    config["model"]["conditioning"]["configs"].append({"id": "speed", "type": "number", "config": {"max_val": 200}})
    checked, levels = check_model_config(config), builders.model(config).levels
    check_request(Request(conditioning=SAID | {"speed": 90}), checked, levels.names)
    section = checked.model.conditioning
    assert section is not None
    assert section.read_of({"speed": 90, "tempo": 120, "path": "a.wav"}) == {"speed": 90, "tempo": 120}
    assert section.read_of({"speed": 90}) == {"speed": 90}


def test_what_is_made_without_them_is_told_and_differs(model: SnacDiffusion, caplog: pytest.LogCaptureFixture) -> None:
    said = model.generate(conditioning=SAID, seed=1, steps=8, progress=False)
    assert caplog.messages == []
    free = model.generate(seed=1, steps=8, progress=False)
    assert caplog.messages == ["nothing is said of style, tempo: left to the model"]
    assert not torch.equal(said, free)
    assert torch.equal(free, model.generate(conditioning={}, seed=1, steps=8, progress=False))


def test_what_training_never_dropped_must_be_said(tmp_path: Path) -> None:
    for dropout in (0.0, {"style": 0.1}):
        model = made(tmp_path, condition_dropout=dropout)
        assert [*may_be_left_out(model.config)] == ([] if dropout == 0 else ["style"])
        with pytest.raises(UsageError, match=r"nothing for (style, )?tempo"):
            check_request(Request(), model.config, model.levels.names)
        with pytest.raises(UsageError, match=r"nothing for (style, )?tempo"):
            model.condition_tensors([{"place": (0, 4)}])


def test_what_comes_encoded_must_be_said(tmp_path: Path) -> None:
    """A number in the place of a vector ended in a traceback."""
    config = conditioned_model_config(write_tiny_codec(tmp_path / "codec"))
    config["training"]["condition_dropout"] = 0.1
    config["model"]["conditioning"]["pre_encoded_keys"] = ["tempo"]
    checked = check_model_config(config)
    assert [*may_be_left_out(checked)] == ["style"]
    with pytest.raises(UsageError, match="nothing for tempo"):
        check_metadata({"style": "house"}, checked)


@pytest.mark.parametrize("said", [{"tempo": 120}, {"bpm": 120}, {"tempo": 120, "bpm": 90}])
def test_demos_of_a_batch_read_of_it_what_training_reads(
    model: SnacDiffusion, said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id in place of the key: files that hold both trained, and each of their demos failed."""
    logged: list[torch.Tensor] = []
    monkeypatch.setattr(demo, "log_demo", lambda trainer, name, audio, *_: logged.append(audio))
    settings = DemoSection(demo_every=1, demo_steps=4, num_demos=1, demo_cond_from_batch=True)
    for entry in ({"style": "house", **said, "path": "a.wav"}, SAID):
        demo.SnacDemoCallback(settings)._samples(cast(Any, None), model, [entry], 1.0)
    assert torch.equal(*logged)


def test_demos_may_leave_out_what_training_drops(tmp_path: Path) -> None:
    config = conditioned_model_config(write_tiny_codec(tmp_path / "codec"))
    config["training"]["condition_dropout"] = {"tempo": 0.1}
    config["training"]["demo"] |= {"num_demos": 1, "demo_cond": [{"style": "house"}], "demo_cond_from_batch": False}
    check_model_config(config)
    config["training"]["condition_dropout"] = {"style": 0.1}
    with pytest.raises(ConfigError, match='found no key "tempo", expected the id of every conditioner that training never drops'):
        check_model_config(config)
