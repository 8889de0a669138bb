"""Commands on a file system that is mounted read-only: told in a sentence, before torch is imported; reading from it works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import prepare

MOUNT = "mount -t tmpfs none {place} && cp -r {audio} {place}/audio && mount -o remount,ro {place} && exec "


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with mounts of its own."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture
def mounted(tmp_path: Path) -> str:
    """The beginning of a script, up to its last command, in whose namespace tmp_path/ro is read-only and holds audio."""
    prepare(tmp_path)
    (tmp_path / "ro").mkdir()
    script = MOUNT.format(place=tmp_path / "ro", audio=tmp_path / "audio")
    if shutil.which("unshare") is None or in_namespace(f"{script} true").returncode:
        pytest.skip("this system lets nobody mount")
    return f"{script} {sys.executable} -m snac_plugin"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("pre_encode --model-config {0}/model.json --dataset-config {0}/dataset.json --output-path", "--output-path"),
        ("train --model-config {0}/model.json --dataset-config {0}/dataset.json --save-dir", "--save-dir"),
        ("generate --out", "--out"),
        ("scan {0}/audio --out", "--out"),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, mounted: str, command: str, flag: str) -> None:
    ran = in_namespace(f"{mounted} {command.format(tmp_path)} {tmp_path}/ro/new")
    assert ran.returncode == 1, ran.stderr
    assert f"{flag}: found {tmp_path}/ro (Read-only file system), expected a folder that can be written to" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_audio_that_nobody_can_write_beside_is_encoded(tmp_path: Path, mounted: str) -> None:
    (tmp_path / "dataset.json").write_text((tmp_path / "dataset.json").read_text().replace("/audio", "/ro/audio"))
    flags = f"--model-config {tmp_path}/model.json --dataset-config {tmp_path}/dataset.json --output-path {tmp_path}/out"
    ran = in_namespace(f"{mounted} pre_encode {flags} --device cpu")
    assert ran.returncode == 0, ran.stderr
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 3
