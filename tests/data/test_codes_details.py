"""Codes lie in folders of their own."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_codec

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data import codes_folder
from snac_plugin.data.codes_details import CONTENT, DETAILS, check_output
from snac_plugin.data.codes_folder import CodesFolder
from snac_plugin.errors import UsageError


def written(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path.parent


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """The folder of the recordings was taken: .npy and .json files lay among them."""
    written(tmp_path / "music" / "album" / "song.wav")
    written(tmp_path / "music" / DETAILS, json.dumps({"content": "latents"}))
    codec: Any = None  # it comes to none
    said = (
        r"output: found .*music with details\.json in it, expected a new folder, an empty one, or that of an earlier pre-encoding"
    )
    with pytest.raises(UsageError, match=said):
        CodesFolder(tmp_path / "music", codec, 4)
    (tmp_path / "music" / DETAILS).unlink()
    with pytest.raises(UsageError, match=r"--output-path: found .*music with album/song\.wav in it"):
        check_output("--output-path", tmp_path / "music")
    assert [path.name for path in (tmp_path / "music").rglob("*")] == ["album", "song.wav"]


def test_new_folders_those_of_codes_and_hidden_files_are_taken(tmp_path: Path) -> None:
    check_output("output", tmp_path / "new")
    check_output("output", written(tmp_path / "out" / ".DS_Store"))
    written(tmp_path / "out" / ".git" / "config")
    shards = written(tmp_path / "out" / "shards" / DETAILS, json.dumps({"content": CONTENT}))
    written(shards / "shard-000000.tar")
    check_output("output", tmp_path / "out")
    check_output("output", written(shards / "my notes.txt"))


def test_a_pre_encoding_that_ended_at_its_start_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It left its list of tracks, which the next run then took for a file of somebody else."""
    codec = SnacPretransform(load_codec(str(write_tiny_codec(tmp_path / "codec"))))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(codes_folder, "_write_json", full)
        with pytest.raises(OSError, match="No space left"):
            CodesFolder(tmp_path / "codes", codec, 4)
    assert [path.name for path in (tmp_path / "codes").iterdir()] == ["filelist.txt"]
    CodesFolder(tmp_path / "codes", codec, 4)
    assert (tmp_path / "codes" / DETAILS).is_file()
