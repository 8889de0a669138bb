"""Benchmarks as scripts see each other, and music for them."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from benchmark_runs import COMMON, FRAME, RATE, WINDOW
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.data.pre_encode import pre_encode
from snac_plugin.plugin import builders
from snac_plugin.training.demo import SnacDemoCallback


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As when they are run as scripts; threads and denormals are put back."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def no_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than all the rest of such a training."""
    monkeypatch.setattr(SnacDemoCallback, "on_train_batch_end", lambda *_: None)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A tiny model's config and a folder of codes of four songs."""
    folder = tmp_path_factory.mktemp("music")
    config = tiny_model_config(write_tiny_codec(folder / "codec"), context_chunks=2, head="logits")
    (folder / "model.json").write_text(json.dumps(config))
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(40 * FRAME) / RATE
    for index in range(4):
        tone = 0.3 * np.sin(2 * np.pi * 110 * 2 ** (index / 3) * time) * (np.sin(2 * np.pi * (index + 3) * time) > 0)
        soundfile.write(folder / "audio" / f"{index}.wav", tone + 0.01 * rng.standard_normal(len(time)), RATE)
    codec = builders.pretransform(config["model"]["pretransform"], RATE)
    source = {"dataset_type": "audio_dir", "datasets": [{"id": "songs", "path": str(folder / "audio")}]}
    codes = pre_encode(source, folder / "codes", codec, min_frames=WINDOW, progress=False).parent
    return SimpleNamespace(folder=folder, config=folder / "model.json", codec=codec, codes=codes)


@pytest.fixture
def held_out(music: SimpleNamespace, tmp_path: Path) -> list[str]:
    """Flags that name a tiny model of random weights, the folder of codes it is tested on, and one for results."""
    torch.manual_seed(0)
    config = json.loads(music.config.read_text())
    save_unwrapped(builders.model(config), tmp_path / "model.safetensors", config, None)
    flags = ["--ckpt", tmp_path / "model.safetensors", "--held-out", music.codes, "--out", tmp_path]
    return [*map(str, flags), *COMMON]
