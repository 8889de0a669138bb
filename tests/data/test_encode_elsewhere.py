"""Several processes, and a cluster of them, write what one process writes, byte for byte, whoever of them is killed."""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from small_runs import prepare
from tiny import CHUNK_FRAMES, write_tiny_codec

from snac_plugin.cli import main
from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.encode_elsewhere import DIED, by_cluster, by_processes
from snac_plugin.data.pre_encode import pre_encode
from snac_plugin.errors import UsageError

FRAME, RATE = 3072, 32000


def codec_in(folder: Path) -> SnacPretransform:
    return SnacPretransform(load_codec(str(folder)), piece_seconds=1.0)


def music_in(folder: Path, tracks: int, kills: str = "") -> dict[str, Any]:
    """A dataset config; a line of its metadata module that `kills` comes before the answer."""
    for index in range(tracks):
        folder.mkdir(exist_ok=True)
        audio = np.random.default_rng(index).uniform(-0.5, 0.5, round((4.5 + index) * FRAME))
        soundfile.write(folder / f"t{index}.wav", audio, RATE)
    about = folder.with_name("about.py")
    about.write_text(f"import os, pathlib\ndef get_custom_metadata(info, audio):\n    {kills}\n    return {{'style': 'noise'}}\n")
    entry = {"id": "mine", "path": str(folder), "custom_metadata_module": str(about)}
    return {"dataset_type": "audio_dir", "datasets": [entry]}


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "dataset_config.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def encode(source: dict[str, Any], output: Path, codec: Path, **options: Any) -> dict[str, bytes]:
    pre_encode(source, output, codec_in(codec), min_frames=CHUNK_FRAMES, progress=False, **options)
    return files(output)


@pytest.mark.slow
def test_two_processes_write_what_one_does_also_when_one_of_them_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codec, flag = write_tiny_codec(tmp_path / "codec"), tmp_path / "killed"
    once = f"t = pathlib.Path({str(flag)!r}); 't3' in info['path'] and not t.exists() and (t.touch(), os.kill(os.getpid(), 9))"
    there = functools.partial(codec_in, codec)
    flag.touch()
    source = music_in(tmp_path / "music", 6, once)
    options: dict[str, Any] = {"shard_bytes": 1700, "offsets": 2}
    alone = encode(source, tmp_path / "one", codec, **options)
    flag.unlink()
    with caplog.at_level(logging.WARNING):
        both = encode(source, tmp_path / "two", codec, **options, elsewhere=by_processes(2, there))
    assert flag.exists(), "one of them was killed"
    assert "A process died; encoding" in caplog.text
    assert both == alone
    assert len([name for name in both if name.endswith(".tar")]) > 3


@pytest.mark.slow
def test_a_track_that_kills_whoever_encodes_it_is_left_out(tmp_path: Path) -> None:
    codec = write_tiny_codec(tmp_path / "codec")
    source = music_in(tmp_path / "music", 3, "'t1' in info['path'] and os.kill(os.getpid(), 9)")
    made = encode(source, tmp_path / "out", codec, elsewhere=by_processes(1, functools.partial(codec_in, codec)))
    details = json.loads(made["details.json"])
    assert [(Path(each["path"]).name, each["reason"]) for each in details["rejected"]] == [("t1.wav", DIED)]
    assert details["tracks"] == 2


def workers_of(process: int) -> list[int]:
    """Processes that were started by one and are not zombies."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            found += [int(status.parent.name)] if int(parent) == process and state != "Z" else []
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_workers_end_with_the_command_and_it_goes_on(tmp_path: Path) -> None:
    """kill -9 leaves no time to tell them."""
    flags = [*prepare(tmp_path, files=6), "--output-path", str(tmp_path / "out"), "--device", "cpu", "--processes", "2"]
    command = [sys.executable, "-m", "snac_plugin", "pre_encode", *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not any((tmp_path / "out").rglob("*.npy")) and time.monotonic() < until:
            time.sleep(0.05)
        workers = workers_of(process.pid)
        process.kill()
    assert len(workers) >= 2
    until = time.monotonic() + 30
    while (alive := [each for each in workers if Path(f"/proc/{each}").exists()]) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive == []
    assert main(["pre_encode", *flags[:-2]]) == 0
    assert json.loads((tmp_path / "out" / "details.json").read_text())["tracks"] == 6


@pytest.mark.slow
def test_a_cluster_writes_what_one_process_does_also_when_a_worker_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install snac_plugin[cluster]")
    codec = write_tiny_codec(tmp_path / "codec")
    source = music_in(tmp_path / "music", 8)
    alone = encode(source, tmp_path / "one", codec, shard_bytes=1700)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        encoded = by_cluster(cluster.scheduler_address, functools.partial(codec_in, codec))

        def killing(*work: Any) -> Any:
            for number, outcome in enumerate(encoded(*work)):
                if number == 1:
                    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
                yield outcome

        assert encode(source, tmp_path / "two", codec, shard_bytes=1700, elsewhere=killing) == alone


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UsageError, match=r'--cluster: found no package distributed.*pip install "snac_plugin\[cluster\]"'):
        by_cluster("tcp://127.0.0.1:1", list)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (["--processes", "2", "--cluster", "tcp://a:1"], {}, "--processes: found 2 and --cluster, expected one of both"),
        (["--processes", "0"], {}, "--processes: found 0, expected at least 1"),
        ([], {"WORLD_SIZE": "2", "RANK": "1"}, "found 2 tasks (WORLD_SIZE), expected one"),
        ([], {"SLURM_STEP_NUM_TASKS": "8"}, "found 8 tasks (SLURM_STEP_NUM_TASKS), expected one"),
        (["--strategy", "ddp"], {}, "--processes, several machines with --cluster"),
    ],
)
def test_processes_that_would_write_the_same_files_are_refused(
    tmp_path: Path, flags: list[str], environment: dict[str, str], message: str, monkeypatch: Any, capsys: Any
) -> None:
    """Each task of torchrun or srun encoded everything, into one folder."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["pre_encode", "--model-config", "m.json", "--output-path", str(tmp_path / "out"), *flags]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
