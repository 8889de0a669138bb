"""A JSON file that cannot be read says why, and where in it."""

import pytest

from snac_plugin.config import load_json
from snac_plugin.errors import ConfigError


def problem(path):
    with pytest.raises(ConfigError) as caught:
        load_json(path)
    return caught.value


def test_reads_an_object_with_or_without_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_text('{"a": {"b": [1]}}', encoding="utf-8-sig")
    assert load_json(tmp_path / "a.json") == {"a": {"b": [1]}}


def test_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "snac_dit.json").write_text("{}")
    error = problem(tmp_path / "snac_dti.json")
    assert error.where == str(tmp_path / "snac_dti.json")
    assert error.advice == 'Did you mean "snac_dit.json"?'
    assert "does not exist either" in problem(tmp_path / "nowhere" / "a.json").advice
    assert problem(tmp_path).found == "a folder"


def test_broken_json_names_line_and_column(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{\n    "a": 1,\n    "b": ,\n}')
    error = problem(path)
    assert error.where == f"{path}, line 3, column 10"
    assert error.found == r'"\"b\": ,"'
    path.write_text("")
    assert problem(path).found == '"the end of the file"'


def test_key_given_twice_is_not_dropped(tmp_path):
    """json keeps the last one without a word, and the other is what the user looks at."""
    (tmp_path / "a.json").write_text('{"a": {"depth": 6, "depth": 12}}')
    assert problem(tmp_path / "a.json").found == 'the key "depth" twice in one object'


def test_other_contents(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    assert problem(tmp_path / "a.json").found == "[1]"
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    assert "not UTF-8" in problem(tmp_path / "a.json").found
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff")
    assert str(tmp_path / "a.json, which is beside it") in str(problem(tmp_path / "a.wav"))
