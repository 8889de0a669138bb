"""Two trainings never share a folder, and none that has ended keeps another out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snac_plugin.cli.run_lock import PRE_ENCODING, TRAINING, locked
from snac_plugin.errors import UsageError

HOLD = """
import multiprocessing, sys, time
from pathlib import Path
from snac_plugin.cli.run_lock import PRE_ENCODING, TRAINING, locked
with locked(Path(sys.argv[1]), PRE_ENCODING if "encode" in sys.argv else TRAINING):
    if "worker" in sys.argv:  # a worker that outlives it
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,)).start()
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_is_first_and_changes_nothing(tmp_path: Path) -> None:
    """Both used to end well, with the logs of one mixed into the other's."""
    process = holder(tmp_path / "run")
    said = rf"--save-dir: found {tmp_path}/run, in which process {process.pid} on \S+, since [-0-9: ]+, is training, expected"
    try:
        for _ in range(2):
            with pytest.raises(UsageError, match=said), locked(tmp_path / "run"):
                pass
    finally:
        process.kill()
        process.wait()


def test_a_killed_one_does_not_block_even_if_a_worker_lives_on(tmp_path: Path) -> None:
    process = holder(tmp_path / "run", "worker")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / ".step=00000001.ckpt.1234.part").touch()
    started = time.monotonic()
    with locked(tmp_path / "run"):
        assert f"process {os.getpid()} on" in (tmp_path / "run" / TRAINING.lock).read_text()
        assert list((tmp_path / "run" / "checkpoints").iterdir()) == [], "half a checkpoint of the killed one"
    assert time.monotonic() - started < 5


def fail_in(folder: Path, *names: str) -> None:
    """Write files, and folders with a slash at the end, and fail."""
    with locked(folder):
        for name in names:
            (folder / name).mkdir() if name.endswith("/") else (folder / name).touch()
        raise ZeroDivisionError


def test_a_training_that_never_began_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in(tmp_path / "a" / "b", "checkpoints/")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError):
        fail_in(tmp_path / "a", "notes.txt")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["notes.txt"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError):
        fail_in(tmp_path / "mine")
    assert (tmp_path / "mine").is_dir(), "it was there before"


def test_other_processes_of_one_training_leave_the_lock_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with locked(tmp_path / "run"):
        assert not (tmp_path / "run").exists()


def test_two_pre_encodings_do_not_write_one_folder(tmp_path: Path) -> None:
    """Both used to pack the same tracks, each into shards of its own."""
    process = holder(tmp_path / "codes", "encode")
    said = rf"--output-path: found {tmp_path}/codes, in which process {process.pid} on .*, is encoding, expected"
    try:
        with pytest.raises(UsageError, match=said), locked(tmp_path / "codes", PRE_ENCODING):
            pass
    finally:
        process.kill()
        process.wait()
    (tmp_path / "codes" / "sub").mkdir()
    (tmp_path / "codes" / "sub" / ".a.npy.1234.part").touch()
    with locked(tmp_path / "codes", PRE_ENCODING):
        assert list((tmp_path / "codes" / "sub").iterdir()) == []
