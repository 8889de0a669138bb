"""What a config says of the codec is what is built, for models of any type."""

from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_codec

from snac_plugin.errors import ConfigError
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


def section(codec: Path, config: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return {"type": "snac_hierarchical", "config": {"codec": str(codec)} | (config or {}), **keys}


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
