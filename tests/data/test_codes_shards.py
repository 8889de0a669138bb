"""Shards hold what a folder of tracks holds, whenever pre-encoding was killed, and train as that does."""

import json
import os
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from stable_audio_tools.data.dataset import collation_fn, create_dataloader_from_config
from tiny import CHUNK_FRAMES, write_tiny_codec
from torch.utils.data import DataLoader

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import check_dataset_config
from snac_plugin.data import codes_shards
from snac_plugin.data.codes_shards import CodesShards, listed_tracks
from snac_plugin.data.pre_encode import pre_encode
from snac_plugin.data.resumable_loader import resumable
from snac_plugin.data.training_files import PreEncodedFiles, PreEncodedShards
from snac_plugin.errors import AudioError, UsageError

FRAME, RATE = 3072, 32000
SHARD = 1700  # bytes: about two of these tracks


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> SnacPretransform:
    return SnacPretransform(load_codec(str(write_tiny_codec(tmp_path_factory.mktemp("codec")))), piece_seconds=1.0)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for index, frames in enumerate((5, 2.5, 8, 6, 4.5, 7, 9, 5.5)):
        path = tmp_path / "music" / ("v1.2/sub" if index % 2 else "") / f"t{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(index).uniform(-0.5, 0.5, round(frames * FRAME)), RATE)
    return tmp_path / "music"


def encode(music: Path, output: Path, codec: SnacPretransform, shard_bytes: int | None = SHARD, **options: Any) -> dict[str, Any]:
    source = {"dataset_type": "audio_dir", "datasets": [{"id": "mine", "path": str(music)}]}
    made = pre_encode(source, output, codec, min_frames=CHUNK_FRAMES, progress=False, shard_bytes=shard_bytes, **options)
    return check_dataset_config(json.loads(made.read_text()))


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def names_in(folder: Path) -> list[str]:
    names = []
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as archive:
            names += archive.getnames()
    return names


def drawn(dataset: Any, count: int, first: int = 0, rank: tuple[int, int] = (0, 1), workers: int = 0) -> list[Any]:
    loader = DataLoader(dataset, 2, num_workers=workers, collate_fn=collation_fn)
    return [batch for _, batch in zip(range(count), resumable(loader, 7, lambda: first, lambda: rank), strict=False)]


def test_shards_hold_and_train_what_a_folder_of_tracks_does(music: Path, tmp_path: Path, codec: SnacPretransform) -> None:
    """The same codes, metadata and crops in the same order; a resumed run draws what an unbroken one would have."""
    shards, folder = encode(music, tmp_path / "shards", codec), encode(music, tmp_path / "folder", codec, None)
    assert 3 <= len(tars(tmp_path / "shards")) <= 4
    assert not any(path.is_file() for path in (tmp_path / "shards" / ".unpacked").rglob("*"))
    for name, packed in listed_tracks(tmp_path / "shards").items():
        codes, info = packed.read()
        beside = tmp_path / "folder" / f"{name.removesuffix('_wav')}.wav"
        assert np.array_equal(codes, np.load(f"{beside}.npy"))
        assert codes.dtype == np.int16
        assert info == json.loads(Path(f"{beside}.json").read_text())
    mine, theirs = drawn(PreEncodedShards(shards), 12), drawn(PreEncodedFiles(folder), 12)
    for (codes, info), (expected, other) in zip(mine, theirs, strict=True):
        assert torch.equal(codes, expected)
        for entry, beside in zip(info, other, strict=True):
            assert torch.equal(entry.pop("padding_mask")[0], beside.pop("padding_mask")[0])
            different = {"latent_filename", "audio"}
            assert {k: v for k, v in entry.items() if k not in different} == {k: v for k, v in beside.items() if k not in different}
    again = drawn(PreEncodedShards(shards), 4, first=8, workers=2)
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(again, mine[8:], strict=True))


def test_ranks_and_workers_share_the_tracks_without_repeats(music: Path, tmp_path: Path, codec: SnacPretransform) -> None:
    dataset = PreEncodedShards(encode(music, tmp_path / "shards", codec))
    loader = [DataLoader(dataset, 2, num_workers=2, collate_fn=list) for _ in range(2)]
    read = [
        info["latent_filename"]
        for rank in (0, 1)
        for _, batch in zip(range(2), resumable(loader[rank], 7, lambda: 0, lambda rank=rank: (rank, 2)), strict=False)
        for _, info in batch
    ]
    assert sorted(read) == sorted(dataset.filenames)


def test_stable_audio_tools_own_loader_reads_the_shards(music: Path, tmp_path: Path, codec: SnacPretransform) -> None:
    config = encode(music, tmp_path / "shards", codec) | {"epoch_steps": 8}
    loader = create_dataloader_from_config(config, batch_size=2, sample_size=0, sample_rate=RATE, num_workers=1)
    whole = [packed.read()[0] for packed in listed_tracks(tmp_path / "shards").values()]
    crops = {codes[:, i : i + CHUNK_FRAMES].tobytes() for codes in whole for i in range(codes.shape[1])}
    batches = list(loader)
    assert len(batches) == 8
    for codes, info in batches:
        assert all(crop.squeeze(0).numpy().tobytes() in crops for crop in codes.reshape(-1, *codes.shape[-2:]))
        assert all("seconds_total" in entry for entry in (info[0] if isinstance(info[0], list) else info))


def killed(run: Callable[[], Any], at: str, count: int) -> None:
    """Run in a process of its own that kills itself at the call number `count` of a method, as kill -9 does."""
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        owner = SnacPretransform if at == "tokenize" else Path if at == "replace" else CodesShards
        original, calls = getattr(owner, at), []

        def dying(*args: Any) -> Any:
            calls.append(args)
            if len(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args)

        setattr(owner, at, dying)
        try:
            run()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def test_killed_at_any_time_the_same_shards_come_out(music: Path, tmp_path: Path, codec: SnacPretransform) -> None:
    """In an encoding, before a file gets its name, and between a shard and the removal of what is in it."""
    encode(music, tmp_path / "whole", codec)
    kills = [("tokenize", 2), ("_remove", 2), ("replace", 4), ("_remove", 2), ("tokenize", 1)]
    encoded: list[int] = []
    for at, count in kills:
        killed(lambda: encode(music, tmp_path / "killed", codec), at, count)
        names = names_in(tmp_path / "killed")
        assert len(names) == len(set(names)), "none twice"
        waiting = {path.name for path in (tmp_path / "killed" / ".unpacked").rglob("*.npy") if not path.name.startswith(".")}
        encoded.append(len(waiting | {Path(name).name for name in names if name.endswith(".npy")}))
    assert encoded == sorted(encoded), "what was encoded is not encoded again"
    encode(music, tmp_path / "killed", codec)
    assert tars(tmp_path / "killed") == tars(tmp_path / "whole")
    assert (tmp_path / "killed" / "filelist.txt").read_text() == (tmp_path / "whole" / "filelist.txt").read_text()


def test_changed_and_new_tracks_alone_are_encoded_again(
    music: Path, tmp_path: Path, codec: SnacPretransform, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(music, tmp_path / "out", codec)
    soundfile.write(music / "t0.wav", np.random.default_rng(50).uniform(-0.5, 0.5, 6 * FRAME), RATE)
    soundfile.write(music / "t9.wav", np.random.default_rng(51).uniform(-0.5, 0.5, 5 * FRAME), RATE)
    (music / "t2.wav").unlink()
    calls, tokenize = [], SnacPretransform.tokenize
    monkeypatch.setattr(SnacPretransform, "tokenize", lambda self, audio: calls.append(1) or tokenize(self, audio))
    config = encode(music, tmp_path / "out", codec)
    assert len(calls) == 2
    encode(music, tmp_path / "new", codec)
    mine, whole = listed_tracks(tmp_path / "out"), listed_tracks(tmp_path / "new")
    assert sorted(mine) == sorted(whole)
    assert all(np.array_equal(mine[name].read()[0], whole[name].read()[0]) for name in whole)
    names = names_in(tmp_path / "out")
    assert len(names) == len(set(names))
    assert len(PreEncodedShards(config)) == 8, "not the one whose audio is gone"
    encode(music, tmp_path / "out", codec, overwrite=True)
    assert sorted(listed_tracks(tmp_path / "out")) == sorted(whole)


@pytest.mark.parametrize("changed", [(), (0, 3, 6)])
def test_tracks_encoded_anew_do_not_write_a_shard_each(
    music: Path, tmp_path: Path, codec: SnacPretransform, monkeypatch: pytest.MonkeyPatch, changed: tuple[int, ...]
) -> None:
    """Each track took the shard apart that the one before had been packed into, with all others in it."""
    encode(music, tmp_path / "out", codec)
    for index in changed:
        os.utime(next(music.rglob(f"t{index}.wav")), (1000, 1000))
    written, write_tar = [], codes_shards._write_tar
    monkeypatch.setattr(codes_shards, "_write_tar", lambda path, contents: written.append(path) or write_tar(path, contents))
    encode(music, tmp_path / "out", codec, overwrite=not changed)
    assert len(written) <= len(tars(tmp_path / "out")), "none twice"
    assert 3 <= len(tars(tmp_path / "out")) <= 4, "not all in one"
    names = names_in(tmp_path / "out")
    assert len(names) == len(set(names)) == 16


def test_killed_while_tracks_are_encoded_anew_the_next_run_ends_with_all(
    music: Path, tmp_path: Path, codec: SnacPretransform
) -> None:
    """Before a shard is taken apart, between the files of a track, before one is packed again, and in an encoding."""
    encode(music, tmp_path / "whole", codec)
    for at, count in [
        ("_unpack", 1),
        ("replace", 1),
        ("replace", 2),
        ("_pack", 1),
        ("_remove", 2),
        ("tokenize", 1),
        ("tokenize", 3),
    ]:
        folder = tmp_path / f"{at} {count}"
        encode(music, folder, codec)
        os.utime(music / "t0.wav")
        killed(lambda folder=folder, count=count: encode(music, folder, codec, overwrite=count == 3), at, count)
        names = names_in(folder)
        assert len(names) == len(set(names)), "none twice"
        encode(music, folder, codec)
        mine, whole = listed_tracks(folder), listed_tracks(tmp_path / "whole")
        assert sorted(names_in(folder)) == sorted(names_in(tmp_path / "whole"))
        assert all(np.array_equal(mine[name].read()[0], whole[name].read()[0]) for name in whole)


def test_damaged_and_missing_shards_are_told(music: Path, tmp_path: Path, codec: SnacPretransform) -> None:
    config = encode(music, tmp_path / "out", codec)
    first, second, *_ = sorted((tmp_path / "out").glob("*.tar"))
    first.rename(tmp_path / "away.tar")
    with pytest.raises(AudioError, match=r"tracks in no shard \(first: mine/t0_wav\), expected all of them"):
        PreEncodedShards(config)
    (tmp_path / "away.tar").rename(first)
    content = first.read_bytes()
    for damaged in (content[:1300], content.replace(b"ustar", b"rusty"), content[:1536], b"no tar", b""):
        first.write_bytes(damaged)
        with pytest.raises(AudioError, match=r"shard-000000\.tar: found a shard that cannot be read"):
            PreEncodedShards(config)
    first.write_bytes(content)
    dataset = PreEncodedShards(config)
    second.unlink()
    assert len({info["path"] for _, infos in drawn(dataset, 20) for info in infos}) == 8 - int(dataset.left_out.sum()) > 0
    assert dataset.left_out.any()


def test_the_two_kinds_of_folders_do_not_mix(music: Path, tmp_path: Path, codec: SnacPretransform) -> None:
    encode(music, tmp_path / "shards", codec)
    encode(music, tmp_path / "folder", codec, None)
    with pytest.raises(UsageError, match="codes in shards, expected codes, a file a track"):
        encode(music, tmp_path / "shards", codec, None)
    with pytest.raises(UsageError, match="codes, a file a track, expected codes in shards"):
        encode(music, tmp_path / "folder", codec)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.tar").touch()
    with pytest.raises(UsageError, match=r"a\.tar and no details\.json"):
        encode(music, tmp_path / "other", codec)
