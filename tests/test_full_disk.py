"""A full disk, here a limit on the size of files: files stay whole, and a sentence says which could not be written."""

import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from safetensors.torch import save_file
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.checkpoints.writing import write_torch
from snac_plugin.cli import main
from snac_plugin.cli.stopping import StoppedBySignal, as_by_ctrl_c, exit_status
from snac_plugin.errors import UnwritableFile
from snac_plugin.files import unwritable, write_whole
from snac_plugin.output.sample_files import SampleWriter
from snac_plugin.plugin import builders

WEIGHTS = {"weights": torch.ones(100_000)}


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("kind", ["text", "torch", "safetensors"])
def test_each_writer_says_which_file_and_leaves_the_one_before(tmp_path: Path, kind: str) -> None:
    """torch ends in a RuntimeError about positions, safetensors in an error with a number in its text."""
    path = tmp_path / "file"
    path.write_text("before")
    write = {
        "text": lambda: write_whole(path, "x" * 200_000),
        "torch": lambda: write_torch(path, WEIGHTS),
        "safetensors": lambda: write_whole(path, lambda part: save_file(WEIGHTS, str(part))),
    }[kind]
    with files_of_at_most(100_000), pytest.raises(UnwritableFile, match=rf"{path}: found no way to write it \(File too large\)"):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_only_what_a_disk_raises_is_told_so() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "events.out")
    assert "events.out" in str(unwritable(full))
    within = RuntimeError("unexpected pos")
    within.__context__ = full
    assert unwritable(within) is not None
    assert unwritable(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert unwritable(ValueError("os error")) is None


def test_a_sample_keeps_what_had_room(tmp_path: Path) -> None:
    """The audio that was written is a wav with a name; what comes later is not taken, and no hidden file stays."""
    writer = SampleWriter(tmp_path, "sample", 32000)
    writer.write(torch.zeros(1, 20_000))
    with files_of_at_most(100_000):
        with pytest.raises(UnwritableFile, match=r"sample\.wav: found no way to write it"):
            writer.write(torch.zeros(1, 20_000))
        writer.write(torch.zeros(1, 10))
        with contextlib.suppress(UnwritableFile):  # of the picture
            writer.finish({})
        writer.discard()
    assert soundfile.info(tmp_path / "sample.wav").frames >= 20_000
    assert not list(tmp_path.glob("*.part"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a model config and audio."""
    folder = tmp_path_factory.mktemp("made")
    config = tiny_model_config(write_tiny_codec(folder / "codec"))
    (folder / "model.json").write_text(json.dumps(config))
    torch.save({"state_dict": builders.model(config).state_dict(), "model_config": config}, folder / "model.ckpt")
    (folder / "music").mkdir()
    soundfile.write(folder / "music" / "song.wav", 0.1 * torch.randn(64_000).numpy(), 32000)
    (folder / "audio.json").write_text(
        json.dumps({"dataset_type": "audio_dir", "datasets": [{"id": "music", "path": str(folder / "music")}]})
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", ["generate", "pre_encode", "train"])
def test_commands_end_in_a_sentence(command: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    data = ["--model-config", made / "model.json", "--dataset-config", made / "audio.json"]
    flags: dict[str, list[Any]] = {
        "generate": ["--ckpt", made / "model.ckpt", "--out", out, "--device", "cpu", "--chunks", 4],
        "pre_encode": [*data, "--output-path", out, "--device", "cpu"],
        "train": [*data, "--save-dir", out, "--max-steps", 1, "--batch-size", 1, "--logger", "none", "--accelerator", "cpu"],
    }
    with files_of_at_most({"generate": 100_000, "pre_encode": 500, "train": 300_000}[command]):
        assert main([command, *map(str, flags[command])]) == 1
    said = capsys.readouterr().err
    assert "found no way to write it (" in said
    assert "Make room" in said
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    ("there", "flags", "advice"),
    [
        (False, [], "run the same command again."),
        (False, ["--recover"], "run the same command again."),
        (True, [], "run the same command again with --recover: it goes on"),
        (True, ["--recover"], "run the same command again."),
        (True, ["--ckpt-path", "step=00000002.ckpt"], "run the same command again."),
        (True, ["--ckpt-path", "step=00000001.ckpt"], "run the same command again with --recover in place of --ckpt-path: "),
    ],
)
def test_a_training_is_told_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: bool, flags: list[str], advice: str
) -> None:
    """The same command was advised, and then refused for the checkpoints that it had left itself."""
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    if there:
        (checkpoints / "step=00000002.ckpt").touch()
    flags = [str(checkpoints / word) if word.endswith(".ckpt") else word for word in flags]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "events.out")

    monkeypatch.setattr("snac_plugin.cli.train.train", full)
    monkeypatch.setattr("snac_plugin.files.tempfile.TemporaryFile", full)  # what is advised needs no room
    assert main(["train", "--model-config", "model.json", "--save-dir", str(tmp_path), *flags]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: events.out: found no way to write it (No space left")
    assert advice in said


def test_a_closed_terminal_stops_like_ctrl_c_and_nohup_does_not() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
    try:
        with pytest.raises(StoppedBySignal) as stopped, as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
        assert exit_status(stopped.value) == 129
        assert exit_status(KeyboardInterrupt()) == 130
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN


@pytest.mark.slow
def test_a_job_that_is_ended_finishes_its_files(made: Path, tmp_path: Path) -> None:
    """Only Ctrl-C did: the minutes that were there stayed in an unfinished file."""
    flags = ["--ckpt", made / "model.ckpt", "--out", tmp_path, "--device", "cpu", "--chunks", 4000, "--seed", 1]
    code = "import sys; from snac_plugin.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", code, "generate", *map(str, flags)], stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and not any(part.stat().st_size > 200_000 for part in tmp_path.glob("*.part")):
            time.sleep(0.1)
        process.terminate()
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped; what was finished stays in" in said
    assert soundfile.info(tmp_path / "seed_1.wav").frames > 40_000
    assert not list(tmp_path.glob("*.part"))
