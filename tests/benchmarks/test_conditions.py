"""The benchmark of conditions: what a model cannot tell apart raises no loss, what it reads does."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch
from benchmark_runs import COMMON, FRAME, results

from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.plugin import builders

pytestmark = pytest.mark.slow


def test_conditions(music: SimpleNamespace, tmp_path: Path) -> None:
    """Two songs of one style and one of another tempo each: the style of the two makes no difference between them."""
    import conditions
    import measure

    config = json.loads(music.config.read_text())
    configs = [
        {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
        {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}},
    ]
    config["model"]["conditioning"] = {"configs": configs, "cond_dim": 8}
    config["model"]["diffusion"] |= {"global_cond_ids": ["style", "tempo"]}
    config["model"]["diffusion"]["config"]["global_cond_dim"] = 16
    config["training"]["demo"]["demo_cond_from_batch"] = True
    torch.manual_seed(0)
    model = builders.model(config)
    for parameter in model.model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_unwrapped(model, tmp_path / "model.safetensors", config, None)
    (tmp_path / "songs").mkdir()
    for index in range(2):
        audio, rate = soundfile.read(music.config.parent / "audio" / f"{index}.wav")
        soundfile.write(tmp_path / "songs" / f"{index}.wav", audio[: 12 * FRAME], rate)
        (tmp_path / "songs" / f"{index}.json").write_text(json.dumps({"style": "house", "tempo": 90 + 60 * index}))
    data = ["--ckpt", tmp_path / "model.safetensors", "--data", tmp_path / "songs", "--out", tmp_path, "--shuffles", "1"]
    conditions.main([*map(str, data), *COMMON, "--noise-levels", "0.5"])
    losses = {name: torch.tensor(found) for name, found in results(tmp_path, "conditions")["losses"].items()}
    assert losses["its own"].shape == (2, 4)
    assert not losses["style"].any()
    assert losses["tempo"].any()
    assert torch.equal(losses["tempo"], losses["all"])
    (tmp_path / "songs" / "1.json").unlink()
    for folder, said in (("nowhere", "no such folder"), ("songs", r"1\.wav: found nothing for style")):
        wrong = ["--ckpt", tmp_path / "model.safetensors", "--data", tmp_path / folder]
        with pytest.raises(SystemExit, match=f"^error: .*{said}"):
            measure.told(conditions.main, [*map(str, wrong), *COMMON])
    (tmp_path / "songs" / "0.wav").unlink()
    with pytest.raises(SystemExit, match=r"^error: .*found 1 song of"):
        measure.told(conditions.main, [*map(str, wrong), *COMMON])
