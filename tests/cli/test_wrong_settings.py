"""Settings of an earlier sample that somebody has changed by hand: what cannot be read is named, before anything is loaded."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from snac_plugin.cli import main
from snac_plugin.cli.earlier_settings import settings_in


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"seed": None}, "which names no seed"),
        ({"seed": "x"}, "seed: found x, expected a whole number"),
        ({"continues": 5}, 'continues: found 5, expected an object with the name of a "file"'),
        ({"continues": {}}, "continues: found nothing"),
        ({"continues": {"file": 5}}, "continues: found file=5"),
        ({"lora": 3}, "lora: found 3, expected an object with a number for each file"),
        ({"lora": {"a": "x"}}, "lora: found a=x"),
        ({"lora": {"a": 10**400}}, "lora: found a=1000"),
        ({"autoguidance": ["a"]}, "autoguidance: found a, "),
        ({"edit": 5}, "edit: found 5, expected the name of a file"),
        ({"bridge": 5}, "bridge: found 5, expected the names of two files"),
        ({"bridge": ["a.wav", 5]}, "bridge: found a.wav,5"),
        ({"bridge": "ab"}, "bridge: found ab, "),
        ({"edit": __file__, "digests": 5}, "digests: found 5, expected a list"),
        ({"sampler": ["euler"]}, "sampler: found euler, expected the name of a sampler"),
        ({"temperature": {"A": "x"}}, "temperature: found x, expected a finite number above 0"),
        ({"cfg_interval": 3}, "cfg_interval: found 3"),
        ({"batch_seed": 3}, "batch_size: found nothing, expected a whole number beside batch_seed"),
        ({"batch_seed": 3, "batch_size": "b"}, "batch_size: found b"),
        ({"checkpoint": 5}, "checkpoint: found 5"),
        ({"conditioning": 3}, "conditioning: found 3, expected an object with a value for each condition"),
        ({"guidance": 3}, "guidance: found 3, expected an object with a scale"),
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
    assert error.startswith("error: --settings: ")
    assert found in error


def test_null_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"seed": 1, "lora": null, "continues": null, "batch_seed": null}')
    assert settings_in(Namespace(settings=str(tmp_path / "x.json"))) == {"seed": 1}


@pytest.mark.parametrize(
    "said", [{"conditioning": 3}, {"conditioning": [1]}, {"negative_conditioning": "x"}, {"guidance": 3}, {"seed": []}], ids=str
)
def test_so_it_is_in_a_line_of_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any]) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(said))
    assert main(["generate", "--prompts", str(tmp_path / "p.jsonl"), "--out", str(tmp_path)]) == 1
    assert f"line 1: {next(iter(said))}: found" in capsys.readouterr().err
