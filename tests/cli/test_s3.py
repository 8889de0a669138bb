"""Shards behind `aws s3`, as stable-audio-tools reads them: with a program `aws` that lists and copies files of a folder."""

import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import prepare, run

from snac_plugin.cli import main
from snac_plugin.errors import ConfigError, LostData

AWS = """#!/bin/sh
root={root}
echo "$@" >> {root}/asked
for word in "$@"; do case "$word" in s3://*) place="$root/${{word#s3://}}";; esac; done
case " $* " in
  *" ls "*) {ls}; cd "$root/bucket" && for f in *.tar; do echo "2026-01-01 00:00:00 1 $f"; done;;
  *" cp "*) {cp}; cat "$place";;
esac
"""


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts the program on the path; `ls` and `cp` are shell commands that come before what it does."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")

    def install(ls: str = "true", cp: str = "true") -> None:
        program = tmp_path / "bin" / "aws"
        program.write_text(AWS.format(root=tmp_path / "s3", ls=ls, cp=cp))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return install


def shards_of_audio(flags: list[str], bucket: Path) -> None:
    """The wav files of a small run, and JSON beside each."""
    folder = Path(json.loads(Path(flags[3]).read_text())["datasets"][0]["path"])
    with tarfile.open(bucket / "audio.tar", "w") as archive:
        for path in sorted(folder.glob("*.wav")):
            archive.add(path, path.name)
            info = tarfile.TarInfo(f"{path.stem}.json")
            info.size = 2
            archive.addfile(info, io.BytesIO(b"{}"))


def config(tmp_path: Path, **keys: object) -> list[str]:
    entry = {"id": "far", "s3_path": "s3://bucket/"}
    (tmp_path / "s3.json").write_text(json.dumps({"dataset_type": "s3", "datasets": [entry], "epoch_steps": 10, **keys}))
    return ["--dataset-config", str(tmp_path / "s3.json")]


@pytest.mark.slow
def test_training_reads_shards_of_audio_and_of_codes_through_aws(tmp_path: Path, aws: Callable[..., None]) -> None:
    flags = prepare(tmp_path)
    shards_of_audio(flags, tmp_path / "s3" / "bucket")
    aws()
    assert run([*flags[:2], *config(tmp_path)], tmp_path / "audio_run", "--max-steps", 2).name == "step=00000002.ckpt"
    (tmp_path / "s3" / "bucket" / "audio.tar").unlink()
    out = ["--output-path", str(tmp_path / "codes"), "--shards", "1", "--device", "cpu"]
    assert main(["pre_encode", *flags, *out]) == 0
    (tmp_path / "codes" / "shard-000000.tar").rename(tmp_path / "s3" / "bucket" / "shard-000000.tar")
    model = json.loads(Path(flags[1]).read_text())
    model["training"]["pre_encoded"] = True
    Path(flags[1]).write_text(json.dumps(model))
    codes = config(tmp_path, pre_encoded=True, latent_crop_length=4)
    assert run([*flags[:2], *codes], tmp_path / "codes_run", "--max-steps", 2).name == "step=00000002.ckpt"
    assert "cp s3://bucket/shard-000000.tar -" in (tmp_path / "s3" / "asked").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ls", "message"),
    [
        (None, "found no program aws, expected .*aws"),
        ("echo 'Unable to locate credentials' >&2; exit 255", "found s3://bucket/ .*Unable to locate credentials"),
        ("exit 0", "found s3://bucket/, where no .tar file lies"),
    ],
)
def test_what_cannot_be_listed_is_told(
    tmp_path: Path, aws: Callable[..., None], monkeypatch: pytest.MonkeyPatch, ls: str | None, message: str
) -> None:
    flags = prepare(tmp_path)
    if ls is None:
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    else:
        aws(ls)
    with pytest.raises(ConfigError, match=message):
        run([*flags[:2], *config(tmp_path)], tmp_path / "run", "--max-steps", 1)


@pytest.mark.slow
def test_shards_that_cannot_be_copied_end_the_training_in_a_sentence(tmp_path: Path, aws: Callable[..., None]) -> None:
    """stable-audio-tools asks for them again and again, for ever."""
    flags = prepare(tmp_path)
    shards_of_audio(flags, tmp_path / "s3" / "bucket")
    aws(cp="exit 1")
    with pytest.raises(LostData, match="s3://bucket/"):
        run([*flags[:2], *config(tmp_path)], tmp_path / "run", "--max-steps", 1)
