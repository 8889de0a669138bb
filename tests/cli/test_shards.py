"""From `pre_encode.py --shards` to a training that was killed: losses and weights are those of codes in a folder, unbroken."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import logged, prepare, run

from snac_plugin.cli import main


@pytest.mark.slow
def test_training_from_shards_goes_on_after_a_kill_as_if_there_had_been_none(tmp_path: Path) -> None:
    """stable-audio-tools' streams of shards have no positions: a resumed run read other samples."""
    flags = prepare(tmp_path, files=4)
    encode = ["pre_encode", *flags, "--device", "cpu", "--output-path"]
    assert main([*encode, str(tmp_path / "shards"), "--shards", "0.001"]) == 0
    assert main([*encode, str(tmp_path / "folder")]) == 0
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 1
    config = json.loads((tmp_path / "shards" / "dataset_config.json").read_text())
    assert (config["dataset_type"], config["pre_encoded"]) == ("wds", True)
    weights, losses = {}, {}
    for kind in ("folder", "shards"):
        mine = [*flags[:3], str(tmp_path / kind / "dataset_config.json"), "--checkpoint-every", "2", "--save-top-k", "-1"]
        newest = run(mine, tmp_path / f"{kind}_run", "--max-steps", 6)
        weights[kind], losses[kind] = torch.load(newest, weights_only=True)["state_dict"], logged(tmp_path / f"{kind}_run")
    (tmp_path / "killed" / "checkpoints").mkdir(parents=True)
    shutil.copy(tmp_path / "shards_run" / "checkpoints" / "step=00000002.ckpt", tmp_path / "killed" / "checkpoints")
    newest = run(mine, tmp_path / "killed", "--max-steps", 6, "--recover", "true")
    weights["killed"], losses["killed"] = torch.load(newest, weights_only=True)["state_dict"], logged(tmp_path / "killed")
    for kind in ("shards", "killed"):
        assert [name for name, value in weights["folder"].items() if not torch.equal(value, weights[kind][name])] == []
        expected = losses["folder"]["train/loss"]
        assert losses[kind]["train/loss"] == {step: expected[step] for step in (range(2, 6) if kind == "killed" else range(6))}


def test_shards_of_no_size_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model-config", "nowhere.json", "--output-path", str(tmp_path)]
    assert main(["pre_encode", *flags, "--shards", "0"]) == 1
    assert "--shards: found 0.0, expected megabytes above 0" in capsys.readouterr().err
