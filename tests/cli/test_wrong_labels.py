"""Files of a training whose labels are wrong: it ends, what was trained is saved, and it goes on when they are mended."""

import json
from pathlib import Path

import pytest
import torch
from small_runs import prepare, run
from tiny import conditioned_model_config

from snac_plugin.data.demo_music import metadata
from snac_plugin.errors import LostData


@pytest.mark.slow
def test_a_wrong_label_ends_a_training_that_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    """All that was trained was lost."""
    flags = [*prepare(tmp_path, files=6), "--accum-batches", "2", "--checkpoint-every", "1000"]
    (tmp_path / "model.json").write_text(json.dumps(conditioned_model_config(tmp_path / "codec")))
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    dataset["datasets"][0]["custom_metadata_module"] = str(metadata.__file__)
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    label, right = tmp_path / "audio" / "2.json", json.dumps({"style": "house", "tempo": 120})  # it is drawn after a step
    for index in range(6):
        label.with_name(f"{index}.json").write_text(right)
    whole = run(flags, tmp_path / "whole", "--max-steps", 4)
    label.write_text(right.replace("house", "houze"))
    with pytest.raises(LostData, match=r'2.wav: style: found "houze", expected one of house, jazz. Did you mean "house"'):
        run(flags, tmp_path / "mended", "--max-steps", 4)
    label.write_text(right)
    newest = run(flags, tmp_path / "mended", "--max-steps", 4, "--recover", "true")
    assert len(list(newest.parent.glob("step=*.ckpt"))) == 2, "a step was saved before"
    ours, theirs = (torch.load(path, weights_only=False)["state_dict"] for path in (newest, whole))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
