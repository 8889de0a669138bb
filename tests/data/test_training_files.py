"""Training reads exactly the files that the scan accepted, as stable-audio-tools would; what is unusable is named and replaced."""

import itertools
import logging
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from stable_audio_tools.data.dataset import collation_fn, create_dataloader_from_config
from torch import Tensor
from torch.utils.data import DataLoader

from snac_plugin.data.audio_folders import scan_audio
from snac_plugin.data.resumable_loader import repeatable, resumable
from snac_plugin.data.training_files import AudioFiles, PreEncodedFiles
from snac_plugin.errors import LostData

RATE, WINDOW = 32000, 8000
COMMON = {"sample_rate": RATE, "sample_size": WINDOW, "audio_channels": 1}


def write(path: Path, seconds: float = 0.5, rate: int = RATE, channels: int = 1, seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate, **options)
    return path


def config_of(*folders: Path | str, **keys: Any) -> dict[str, Any]:
    entries = [{"id": f"entry {index}", "path": str(folder)} for index, folder in enumerate(folders)]
    return {"dataset_type": "audio_dir", "datasets": entries, **keys}


def dataset_of(config: Mapping[str, Any]) -> AudioFiles:
    paths = [entry["path"] for entry in config["datasets"]]
    return AudioFiles(config, scan_audio(paths, RATE, sort=False).files, **COMMON)


def drawn(dataset: Any, count: int, workers: int = 0, batch: int = 2) -> list[tuple[Tensor, Any]]:
    """The first batches of a training."""
    loader = resumable(DataLoader(dataset, batch, num_workers=workers, collate_fn=collation_fn), 7, lambda: 0, lambda: (0, 1))
    return [(reals, info) for _, (reals, info) in zip(range(count), loader, strict=False)]


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A clean folder: wav and flac files of several rates, widths, channels and lengths."""
    kinds = ((RATE, 1, "PCM_16"), (44100, 2, "PCM_24"), (48000, 6, "FLOAT"), (22050, 1, "DOUBLE"), (RATE, 2, "PCM_U8"))
    for index, (rate, channels, subtype) in enumerate(kinds):
        write(
            tmp_path / "music" / f"{'b/' * (index % 3)}{9 - index}.wav", 0.2 + 0.1 * index, rate, channels, index, subtype=subtype
        )
    write(tmp_path / "music" / "a" / "x.flac", 1.0, 44100, 2, 9)
    return tmp_path / "music"


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("crop", [True, False])
def test_a_clean_folder_gives_what_stable_audio_tools_gives(
    music: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, crop: bool
) -> None:
    """The same files in the same order, the same crops and signs to the bit, and the same metadata."""
    monkeypatch.chdir(music.parent)
    config = config_of(f"{prefix}music", f"{prefix}music/a/", random_crop=crop)
    theirs = create_dataloader_from_config(config, batch_size=2, num_workers=1, **COMMON).dataset
    ours = dataset_of(config)
    assert ours.filenames == theirs.filenames
    for (mine, my_info), (reals, info) in zip(drawn(ours, 12), drawn(theirs, 12), strict=True):
        assert torch.equal(mine, reals)
        for my_item, item in zip(my_info, info, strict=True):
            same = [key for key in item if key not in ("load_time", "padding_mask")]
            assert [my_item[key] for key in same] == [item[key] for key in same]
            assert torch.equal(my_item["padding_mask"], item["padding_mask"])


def test_whatever_the_scan_counts_is_what_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds that torchaudio cannot open under their names, a name that is no text, and none of the rejected files."""
    music = tmp_path / "music"
    write(music / "a.aif", format="AIFF", seed=1)
    write(music / "b.opus", rate=48000, format="OGG", subtype="OPUS", seed=2)
    write(music / "twelve.wav", channels=12, seed=3)
    write(write(music / "c.flac", seed=4).rename(music / "flac_inside.wav"), seed=4, format="FLAC")
    write(music / "plain.wav", seed=5).rename(os.fsdecode(os.fsencode(music) + b"/caf\xe9.wav"))
    write(music / f"{'long' * 61}.wav", seed=6)
    os.symlink(music, music / "self")
    for name, rate in (("slow.wav", 1), ("odd.wav", 7999)):
        write(music / name, 40.0 if rate == 1 else 0.5, rate)
    (music / "text.wav").write_text("no audio")
    scan, dataset = scan_audio([music], RATE), dataset_of(config_of(music))
    assert {file.path.name for file in scan.files} == {os.path.basename(name) for name in dataset.filenames}
    assert (len(scan.files), len(dataset.filenames)) == (6, 6)
    assert {rejected.path.name for rejected in scan.rejected} == {"slow.wav", "odd.wav", "text.wav"}
    for index, name in enumerate(dataset.filenames):
        audio, info = dataset[index]
        assert info["path"] == name, "not another in its place"
        assert audio.shape == (1, WINDOW)
    assert capsys.readouterr().out == ""


def test_a_file_of_nan_is_named_once_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its header is sound, so it is found when it is read."""
    for index in range(3):
        write(tmp_path / f"{index}.wav", seed=index)
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan), RATE, subtype="FLOAT")
    infinite = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    infinite[5] = np.inf
    soundfile.write(tmp_path / "inf.wav", infinite, RATE, subtype="FLOAT")
    dataset = dataset_of(config_of(tmp_path))
    with caplog.at_level(logging.WARNING):
        batches = drawn(dataset, 40)
    assert all(reals.isfinite().all() and reals.abs().max() <= 0.5 for reals, _ in batches)
    assert {Path(item["path"]).name for _, info in batches for item in info} == {"0.wav", "1.wav", "2.wav"}
    told = [message for message in caplog.messages if "holds NaN or infinite samples" in message]
    assert len(told) == 2
    assert f"Left out {tmp_path}" in told[0]
    assert "(2 of 5 files left out so far)" in told[1]
    again = drawn(dataset_of(config_of(tmp_path)), 40, workers=2)
    assert all(torch.equal(mine, other) for (mine, _), (other, _) in zip(batches, again, strict=True)), "whoever reads"


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("emptied", [True, False])
def test_a_folder_that_vanishes_ends_in_its_name(music: Path, workers: int, emptied: bool) -> None:
    """Not in a RecursionError, nor in a RuntimeError with a worker's traceback; an unmounted disk leaves an empty folder."""
    loader = DataLoader(dataset_of(config_of(music)), 2, num_workers=workers, collate_fn=collation_fn)
    batches = iter(resumable(loader, 7, lambda: 0, lambda: (0, 1)))
    next(batches)
    music.rename(music.with_name("gone"))
    if emptied:
        music.mkdir()
    with pytest.raises(LostData, match=rf"{music}: found nothing, where there were files .first missed: .*, expected the data"):
        list(itertools.islice(batches, 20))
    with pytest.raises(LostData):
        next(iter(repeatable(loader, 7)))


def test_files_that_go_one_by_one_are_left_out_until_none_is_left(music: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = dataset_of(config_of(music))
    (music / "x.txt").touch()
    for name in dataset.filenames[1:]:
        os.unlink(name)
    assert {item["path"] for _, info in drawn(dataset, 10) for item in info} == {dataset.filenames[0]}
    assert "No such file" in caplog.text
    os.unlink(dataset.filenames[0])
    with pytest.raises(LostData, match="6 files, all of them left out"):
        dataset[0]


def test_silence_alone_is_an_error_and_not_an_endless_search(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), RATE)
    with pytest.raises(LostData, match="1000 files drawn in a row that are silent"):
        dataset_of(config_of(tmp_path))[0]


def test_a_metadata_module_that_fails_is_named_with_its_file(music: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """stable-audio-tools would say that the file could not be loaded."""
    (tmp_path / "about.py").write_text(
        "def get_custom_metadata(info, audio):\n    if info['path'].endswith('.flac'):\n        raise KeyError('title')\n"
        "    return {'prompt': info['relpath'], '__reject__': info['path'].endswith('9.wav')}\n"
    )
    config = config_of(music)
    config["datasets"][0]["custom_metadata_module"] = str(tmp_path / "about.py")
    items = [item for _, info in drawn(dataset_of(config), 20) for item in info]
    assert {item["prompt"] for item in items} == {"b/8.wav", "b/b/7.wav", "6.wav", "b/5.wav"}
    assert [message for message in caplog.messages if "x.flac: its custom_metadata_module failed (KeyError: 'title')" in message]


def test_codes_that_vanish_or_break_are_named_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "codes"
    folder.mkdir()
    for index in range(4):
        np.save(folder / f"{index}.npy", np.full((15, 8), index))
        (folder / f"{index}.json").write_text('{"padding_mask": [1, 1, 1, 1, 1, 1, 1, 1], "seconds_total": 1}')
    (folder / "1.npy").write_bytes((folder / "1.npy").read_bytes()[:-100])
    dataset = PreEncodedFiles({**config_of(folder), "dataset_type": "pre_encoded", "latent_crop_length": 4, "random_crop": True})
    random.seed(0)
    assert {int(codes[0, 0]) for reals, _ in drawn(dataset, 20, batch=2) for codes in reals} == {0, 2, 3}
    (told,) = [message for message in caplog.messages if message.startswith("Left out")]
    assert "1.npy: cannot be read" in told
    shutil.rmtree(folder)
    with pytest.raises(LostData, match="codes: found nothing"):
        dataset[0]
