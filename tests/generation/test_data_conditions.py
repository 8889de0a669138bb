"""Labels of training data that are missing or wrong: the file and the condition are named, and what training replaces is said."""

import logging
from typing import Any

import pytest

from snac_plugin.config.model_keys import ConditioningSection
from snac_plugin.errors import UsageError
from snac_plugin.generation.data_conditions import DataConditions

SECTION = ConditioningSection.model_validate(
    {
        "configs": [
            {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
            {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}},
            {"id": "key", "type": "list", "config": {"options": ["A minor", "C major"]}},
            {"id": "position", "type": "chunk_position", "config": {"most_chunks": 2}},
        ],
        "cond_dim": 8,
    }
)
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
def test_what_cannot_be_trained_on_is_an_error_that_names_file_and_condition(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        DataConditions(SECTION, "Mend it.").check("a.wav", said)
    assert str(error.value).startswith(message)


def test_what_training_replaces_is_said_once_for_each_condition(caplog: pytest.LogCaptureFixture) -> None:
    said = DataConditions(SECTION, "Mend it.")
    with caplog.at_level(logging.WARNING):
        said.check("a.wav", FITS)
        assert not caplog.records
        for file in ("b.wav", "c.wav"):
            said.check(file, FITS | {"tempo": 250, "key": "H minor"})
    tempo, key = (record.getMessage() for record in caplog.records)
    assert tempo.startswith("b.wav: tempo: found 250, expected a number from 60 to 200")
    assert key.startswith('b.wav: key: found "H minor", expected one of A minor')


def test_without_conditioners_nothing_is_asked_for() -> None:
    DataConditions(None, "").check("a.wav", {"style": 3})
