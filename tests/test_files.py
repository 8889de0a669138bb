"""Folders that results go to are tried before hours are spent."""

from pathlib import Path

import pytest

from snac_plugin.errors import UsageError
from snac_plugin.files import check_folder


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    check_folder("--out", tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken, which is a file"):
        check_folder("--out", tmp_path / "taken" / "deeper")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder to which not even root may write")
def test_a_folder_that_cannot_be_written_to_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"--out: found /proc .*folder that can be written to"):
        check_folder("--out", "/proc/results")
