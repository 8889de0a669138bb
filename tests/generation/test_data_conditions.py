"""Labels of training data that are missing or wrong: the file and the condition are named, and what training replaces is said."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.config import check_model_config
from snac_plugin.errors import UsageError
from snac_plugin.generation.data_conditions import DataConditions

CONDITIONING = [
    {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
    {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}},
    {"id": "key", "type": "list", "config": {"options": ["A minor", "C major"]}},
    {"id": "position", "type": "chunk_position", "config": {"most_chunks": 2}},
]


def checks(folder: Path, *conditioning: dict[str, Any], **training: Any) -> DataConditions:
    config = tiny_model_config(write_tiny_codec(folder), global_cond_dim=8 * len(conditioning))
    config["model"]["conditioning"] = {"configs": [*conditioning], "cond_dim": 8} if conditioning else None
    config["model"]["diffusion"]["global_cond_ids"] = [one["id"] for one in conditioning]
    config["training"] |= training
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return DataConditions(check_model_config(config), "Mend it.")


FITS = {"style": "house", "tempo": 120, "key": "A minor", "position": "3/9", "path": "a.wav"}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in FITS.items() if key != name}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (without("key"), "a.wav: key: found nothing, expected one of A minor, C major. Mend it."),
        (without("tempo"), "a.wav: tempo: found nothing, expected a number from 60 to 200. Mend it."),
        (FITS | {"style": "huose"}, 'a.wav: style: found "huose", expected one of house, jazz. Did you mean "house"? Mend it.'),
        (FITS | {"tempo": "fast"}, 'a.wav: tempo: found "fast", expected a number from 60 to 200'),
    ],
)
def test_what_cannot_be_trained_on_is_an_error_that_names_file_and_condition(
    tmp_path: Path, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        checks(tmp_path, *CONDITIONING).check("a.wav", said)
    assert str(error.value).startswith(message)


def test_what_training_replaces_is_said_once_for_each_condition(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = checks(tmp_path, *CONDITIONING)
    with caplog.at_level(logging.WARNING):
        said.check("a.wav", FITS)
        assert not caplog.records
        for file in ("b.wav", "c.wav"):
            said.check(file, FITS | {"tempo": 250, "key": "H minor"})
    tempo, key = (record.getMessage() for record in caplog.records)
    assert tempo.startswith("b.wav: tempo: found 250, expected a number from 60 to 200")
    assert key.startswith('b.wav: key: found "H minor", expected one of A minor')


def test_what_training_drops_alone_may_be_lacking_which_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = checks(tmp_path, *CONDITIONING, condition_dropout={"tempo": 0.1, "key": 0.1})
    for file in ("b.wav", "c.wav"):
        said.check(file, without("tempo"))
    why = "as others do by training.condition_dropout; this is said once for each."
    assert caplog.messages == [f"b.wav: nothing is said of tempo: it trains without, {why}"]
    with pytest.raises(UsageError, match=r"b.wav: style: found nothing, expected one of house, jazz\. Mend it\.$"):
        said.check("b.wav", without("style"))
    said.check("d.wav", FITS | {"tempo": 250})
    assert len(caplog.messages) == 2, "what is replaced is another matter"


def test_a_file_of_which_nothing_is_said_says_how_json_files_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder whose every file has its JSON beside it trained without any condition, as if one file lacked some."""
    measured = {"id": "seconds_total", "type": "number", "config": {"max_val": 512}}  # of the file, which says nothing by itself
    for more in ([], [measured]):
        with pytest.raises(UsageError, match=r"a.wav: style: found nothing, .* Mend it\. No condition is said of it: JSON files"):
            checks(tmp_path, *CONDITIONING, *more).check("a.wav", {"path": "a.wav", "seconds_total": 4})
    checks(tmp_path, *CONDITIONING, condition_dropout=0.1).check("a.wav", {"path": "a.wav"})
    assert len(caplog.messages) == 3
    assert all(message.endswith("custom_metadata_module (docs/conditioning.md).") for message in caplog.messages)


def test_without_conditioners_nothing_is_asked_for(tmp_path: Path) -> None:
    checks(tmp_path).check("a.wav", {"style": 3})
