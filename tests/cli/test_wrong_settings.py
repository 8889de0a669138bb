"""Settings of an earlier sample that somebody has changed by hand: what cannot be read is named, before anything is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from snac_plugin.cli import main


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"seed": None}, "which names no seed"),
        ({"seed": "x"}, '"seed": "x"'),
        ({"continues": None}, '"continues": null'),
        ({"continues": {}}, '"continues": {}'),
        ({"lora": None}, '"lora": null'),
        ({"autoguidance": ["a"]}, '"autoguidance": ["a"]'),
        ({"edit": 5}, '"edit": 5'),
        ({"bridge": 5}, '"bridge": 5'),
        ({"edit": __file__, "digests": 5}, '"digests": 5'),
        ({"sampler": ["euler"]}, '"sampler": ["euler"]'),
        ({"cfg_interval": 3}, '"cfg_interval": 3'),
        ({"batch_seed": 3}, "nothing under 'batch_size'"),
        ({"batch_seed": 3, "batch_size": "b"}, '"batch_size": "b"'),
        ({"checkpoint": 5}, '"checkpoint": 5'),
        ({"conditioning": 3}, "--condition: found 3, expected an object with a value for each condition"),
        ({"guidance": 3}, "--guidance: found 3, expected an object with a scale"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any], found: str
) -> None:
    """Each ended in a traceback, but for the seed: without one the sample was another each time."""
    (tmp_path / "x.json").write_text(json.dumps({"seed": 1, **said}))
    assert main(["generate", "--settings", str(tmp_path / "x.json"), "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: --")
    assert found in error


@pytest.mark.parametrize(
    "said", [{"conditioning": 3}, {"conditioning": [1]}, {"negative_conditioning": "x"}, {"guidance": 3}, {"seed": []}], ids=str
)
def test_so_it_is_in_a_line_of_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any]) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(said))
    assert main(["generate", "--prompts", str(tmp_path / "p.jsonl"), "--out", str(tmp_path)]) == 1
    assert f"line 1: {next(iter(said))}: found" in capsys.readouterr().err
