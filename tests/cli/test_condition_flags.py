"""Flags that name single conditions: over those of an earlier sample, and named in errors as they were written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tiny import conditioned_model_config, write_tiny_codec

from snac_plugin.cli import _flags, generate, main
from snac_plugin.config import check_model_config
from snac_plugin.errors import UsageError
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import check_request

EARLIER = {"conditioning": {"style": "house", "tempo": 120}, "negative_conditioning": {"style": "jazz"}}


@pytest.mark.parametrize(
    ("flags", "wanted", "unwanted"),
    [
        ([], EARLIER["conditioning"], EARLIER["negative_conditioning"]),
        (["--condition", "style=ambient"], {"style": "ambient", "tempo": 120}, {"style": "jazz"}),
        (["--prompt", "rain"], {"style": "house", "tempo": 120, "prompt": "rain"}, {"style": "jazz"}),
        (["--negative-condition", "tempo=90"], EARLIER["conditioning"], {"style": "jazz", "tempo": "90"}),
        (["--conditioning", '{"tempo": 90}', "--condition", "style=jazz"], {"tempo": 90, "style": "jazz"}, {"style": "jazz"}),
    ],
)
def test_single_conditions_go_over_those_of_the_settings(
    tmp_path: Path, flags: list[str], wanted: dict[str, Any], unwanted: dict[str, Any]
) -> None:
    """They took the place of all; JSON for all of them still does."""
    (tmp_path / "x.json").write_text(json.dumps({"seed": 1, **EARLIER}))
    args = generate.parser().parse_args(["--settings", str(tmp_path / "x.json"), *flags])
    (job,) = generate._prompts(args)
    assert job.request.conditioning == wanted
    assert job.request.negative_conditioning == unwanted


def test_single_conditions_hold_for_each_sample_of_a_batch(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"seed": 1, "conditioning": [{"tempo": 90}, {"tempo": 91, "style": "jazz"}]}))
    args = generate.parser().parse_args(["--settings", str(tmp_path / "x.json"), "--condition", "style=house"])
    (job,) = generate._prompts(args)
    assert job.request.conditioning == [{"tempo": 90, "style": "house"}, {"tempo": 91, "style": "house"}]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--condition", "style=hause", "--condition", "tempo=90"], '--condition: style: found "hause"'),
        (["--conditioning", '{"style": "hause", "tempo": 90}'], '--conditioning: style: found "hause"'),
        (["--condition", "style=house"], '--condition: found nothing for tempo, .* --condition "tempo=..." on the command line'),
        (
            ["--condition", "style=house", "--condition", "tempo=90", "--negative-condition", "style=hause"],
            '--negative-condition: style: found "hause"',
        ),
    ],
)
def test_errors_name_the_flag_that_was_given(tmp_path: Path, flags: list[str], message: str) -> None:
    config = check_model_config(conditioned_model_config(write_tiny_codec(tmp_path)))
    request = Request(**generate.options_from(generate.parser().parse_args(flags)))
    with pytest.raises(UsageError) as error:
        check_request(request, config, "ABCD")
    assert re.match(message, error.value.message(_flags("generate", flags)))


@pytest.mark.parametrize("flags", [["--prompt", "rain"], ["--prompt=rain", "--condition", "style=house"]])
def test_a_prompt_that_the_model_does_not_read_is_named_by_its_flag(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--condition was named, which nobody had written, or which was right."""
    assert main(["generate", *flags]) == 1
    assert "error: --prompt: found the key 'prompt', expected only key, style, tempo" in capsys.readouterr().err
    assert main(["generate", "--condition", "mood=dark"]) == 1
    assert "error: --condition: found the key 'mood'" in capsys.readouterr().err
