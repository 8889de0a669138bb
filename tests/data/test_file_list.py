"""What `scan` lists is what training and pre-encoding read: no other file, and none that has changed."""

import json
import logging
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from snac_plugin.cli import main
from snac_plugin.cli.train_data import audio_files
from snac_plugin.config import check_dataset_config
from snac_plugin.data.collection import measure_dataset
from snac_plugin.data.file_list import scan_dataset
from snac_plugin.data.pre_encode import _find_tracks
from snac_plugin.errors import ConfigError

RATE = 32000


def sound(seed: int, seconds: float = 0.6) -> np.ndarray:
    return np.random.default_rng(seed).integers(-16000, 16000, round(seconds * RATE), np.int16)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Three good files, a copy of one of them as FLAC, a silent one, one of NaN, one that is no audio, a cut one, a name that
    is no text.
    """
    folder = tmp_path / "music"
    (folder / "b").mkdir(parents=True)
    for name, seed in (("a.wav", 1), ("b/c.wav", 2), ("d.flac", 3), ("copy.flac", 1)):
        soundfile.write(folder / name, sound(seed), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    (folder / "text.wav").write_text("no audio")
    (folder / "cut.wav").write_bytes((folder / "b" / "c.wav").read_bytes()[:-8000])
    soundfile.write(folder / "e.wav", sound(5), RATE)
    os.rename(folder / "e.wav", os.fsencode(folder) + b"/caf\xe9.wav")
    return folder


def scanned(music: Path, out: Path, *flags: str) -> dict[str, Any]:
    assert main(["scan", str(music), "--out", str(out), *flags]) == 0
    return check_dataset_config(json.loads((out / "dataset_config.json").read_text()))


def names(config: dict[str, Any]) -> set[str]:
    return {os.path.basename(file.path) for scan in scan_dataset(config, RATE) for file in scan.files}


def test_the_list_holds_what_can_be_used_and_reasons_for_the_rest(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = scanned(music, tmp_path / "scan")
    assert names(config) == {"a.wav", "c.wav", "d.flac", "cut.wav", "caf\udce9.wav"}
    listed = json.loads((tmp_path / "scan" / "files.json").read_text())
    reasons = {os.path.basename(each["path"]): each["reason"] for each in listed["rejected"]}
    assert reasons.keys() == {"silent.wav", "nan.wav", "text.wav", "copy.flac"}
    assert re.fullmatch("the same samples as .*a.wav", reasons["copy.flac"])
    printed = capsys.readouterr().out
    report = (tmp_path / "scan" / "report.md").read_text()
    assert report in printed
    for words in ("5 files accepted, 4 left out", "* 5 of 32,000 Hz, 1 channel", "cut.wav: cut off", "train with: python"):
        assert words in printed
    assert "copy.flac" in names(scanned(music, tmp_path / "all", "--keep-duplicates"))


def test_training_and_pre_encoding_read_the_list_and_nothing_else(
    music: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = scanned(music, tmp_path / "scan")
    soundfile.write(music / "new.wav", sound(9), RATE)
    with caplog.at_level(logging.INFO):
        files = audio_files(config, RATE, "dataset.json")
    assert {file.path.name for file in files} == {"a.wav", "c.wav", "d.flac", "cut.wav", "caf\udce9.wav"}
    assert "5 audio files are not in the list" in caplog.text
    assert not [message for message in caplog.messages if message.startswith("Cannot train on")]
    tracks, rejected = _find_tracks(config, RATE, dots=True)
    assert {track.file.path for track in tracks} == {file.path for file in files}
    assert rejected == []
    whole = {file.path for scan in scan_dataset({**config, "files": None}, RATE, sort=False) for file in scan.files}
    assert {file.path for file in files} < whole


def test_files_that_changed_or_vanished_end_in_a_sentence(music: Path, tmp_path: Path) -> None:
    config = scanned(music, tmp_path / "scan")
    os.utime(music / "a.wav")
    assert "a.wav" in names(config), "a copy, say: its samples are the same"
    soundfile.write(music / "a.wav", sound(8), RATE)  # as long as before
    with pytest.raises(ConfigError, match=r"found 1 of 5 files that have changed since \(first: .*a\.wav\), .* scan"):
        names(config)
    (music / "a.wav").unlink()
    with pytest.raises(ConfigError, match=r"found 1 of 5 files that are not in the folders of the dataset \(first: .*a\.wav\)"):
        names(config)
    shutil.copy(music / "d.flac", music / "a.wav")
    with pytest.raises(ConfigError, match="have changed"):
        names(config)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"content": "audio files that were scanned", "files": [{"path": 1}]}'])
def test_what_is_no_list_is_told(music: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "files.json").write_text(content)
    config = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": str(music)}], "files": str(tmp_path / "files.json")}
    with pytest.raises(ConfigError, match="files"):
        scan_dataset(check_dataset_config(config), RATE)
    (tmp_path / "files.json").unlink()
    with pytest.raises(ConfigError, match="expected a list that the command scan wrote"):
        check_dataset_config(config)


@pytest.mark.slow
def test_several_processes_find_the_same(music: Path) -> None:
    config = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": str(music)}, {"id": "b", "path": str(music / "b")}]}
    one, two = (measure_dataset(config, RATE, workers=workers, progress=False) for workers in (1, 2))
    assert one == two
    assert len(one.files) == 5, "a file in two folders counts once"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "found nothing, which is not there, expected a folder of audio, or a dataset config"),
        (["{tmp}"], "a folder without a file to load"),
        (["{tmp}/codes.json"], 'expected "audio_dir"'),
        (["{tmp}/music", "--workers", "0"], "--workers: found 0, expected 1 or more"),
    ],
)
def test_what_cannot_be_scanned_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    codes = tmp_path / "codes"
    codes.mkdir()
    (codes / "a.npy").touch()
    config = {"dataset_type": "pre_encoded", "datasets": [{"id": "codes", "path": str(codes)}], "latent_crop_length": 8}
    (tmp_path / "codes.json").write_text(json.dumps(config))
    assert main(["scan", *(argument.format(tmp=tmp_path) for argument in arguments), "--out", str(tmp_path / "out")]) == 1
    assert words in capsys.readouterr().err


def test_the_end_of_a_job_stops_a_scan_as_ctrl_c_does(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snac_plugin.data.collection.measure", lambda _: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # trainings of other tests may have left a handler
    try:
        assert main(["scan", str(music), "--out", str(tmp_path / "out")]) == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "stopped; nothing was written" in capsys.readouterr().out
    assert not list((tmp_path / "out").iterdir())
