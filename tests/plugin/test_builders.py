"""What a config says of the codec is what is built, for models of any type."""

from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_codec

from snac_plugin.config import load_json
from snac_plugin.errors import ConfigError, UsageError
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


def section(codec: Path, config: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return {"type": "snac_hierarchical", "config": {"codec": str(codec)} | (config or {}), **keys}


def merged(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A config with changes at any depth."""
    deeper = {key: merged(config[key], value) for key, value in changes.items() if isinstance(value, dict) and key in config}
    return config | changes | deeper


def conditioned(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The shipped small config with conditioners for tempo and style, or with others."""
    tempo = {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 180}}
    style = {"id": "style", "type": "list", "config": {"options": ["house", "techno"]}}
    conditions = {
        "model": {
            "conditioning": {"configs": [tempo, style], "cond_dim": 64},
            "diffusion": {"global_cond_ids": ["tempo", "style"], "config": {"global_cond_dim": 128}},
        },
        "training": {"demo": {"demo_cond": [{"tempo": 124, "style": "house"}, {"tempo": 132, "style": "techno"}]}},
    }
    config = load_json(Path(__file__).parents[2] / "model_configs" / "snac_dit.json")
    return merged(merged(config, conditions), changes or {})


def test_conditioners_of_a_config_condition_the_model() -> None:
    model = builders.model(conditioned())
    tensors = model.conditions([{"tempo": 124, "style": "house"}], "cpu")
    assert tensors.embedding is not None
    assert tensors.embedding.shape == (1, 128)
    with pytest.raises(UsageError, match=r"nothing for style.*custom_metadata_module"):
        model.conditions([{"tempo": 124}], "cpu")


def test_a_conditioner_that_nothing_reads_is_named(caplog: pytest.LogCaptureFixture) -> None:
    builders.model(conditioned({"model": {"diffusion": {"global_cond_ids": ["tempo"], "config": {"global_cond_dim": 64}}}}))
    assert "no list of model.diffusion names them: style" in caplog.text


def test_a_conditioner_with_other_arguments_says_which() -> None:
    wrong = {"configs": [{"id": "tempo", "type": "number", "config": {"min": 60}}]}
    changes = {"model": {"conditioning": wrong, "diffusion": {"global_cond_ids": ["tempo"], "config": {"global_cond_dim": 64}}}}
    changes["training"] = {"demo": {"demo_cond": [{"tempo": 124}, {"tempo": 132}]}}
    with pytest.raises(ConfigError, match=r"model\.conditioning\.configs.*unexpected keyword argument 'min'"):
        builders.model(conditioned(changes))


def test_every_option_reaches_the_pretransform(codec: Path) -> None:
    plain = builders.pretransform(section(codec), 32000)
    told = builders.pretransform(
        section(codec, {"piece_seconds": 2.0, "model_half": True}, iterate_batch=True, enable_grad=True), 32000
    )
    assert (plain.iterate_batch, plain.model_half, plain.enable_grad) == (False, False, False)
    assert (told.iterate_batch, told.model_half, told.enable_grad) == (True, True, True)
    assert told.piece_frames < plain.piece_frames
    assert not any(p.requires_grad for p in plain.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"config": {"codec": "x", "iterate_batch": True}},
            r"config\.iterate_batch.*belongs at model\.pretransform\.iterate_batch",
        ),
        (
            {"config": {"codec": "x", "piece_second": 1}},
            r"model\.pretransform\.config\.piece_second.*Did you mean \"piece_seconds\"",
        ),
        ({"config": {"codec": "x", "piece_seconds": -1}}, r"model\.pretransform\.config\.piece_seconds.*greater than 0"),
        ({"config": {}}, r"model\.pretransform\.config\.codec.*shipped codec"),
        ({"scale": 2.0}, r"model\.pretransform\.scale"),
    ],
)
def test_what_the_pretransform_does_not_take_is_named(codec: Path, changes: dict[str, Any], message: str) -> None:
    """stable-audio-tools' own model types hand their pretransform on unchecked."""
    with pytest.raises(ConfigError, match=message):
        builders.pretransform(section(codec) | changes, 32000)
