"""The models that ship: they load, fit their configs, and are what commands take when no checkpoint is named."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.checkpoints.shipped import DEFAULT, MODELS, model_file, shipped_models
from snac_plugin.cli import main, run_gradio
from snac_plugin.codec.places import shipped_codecs
from snac_plugin.plugin.loading import load_model

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 16 * 2**20


def test_the_default_model_ships() -> None:
    assert DEFAULT in shipped_models()


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_loads_and_fits_its_configs(name: str) -> None:
    """With its codec, small enough to ship, with a card, readable by everybody."""
    folder = MODELS / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < LARGEST
    assert all(file.stat().st_mode & 0o044 for file in folder.iterdir())
    assert (folder / "README.md").read_text().startswith(f"# {name}\n")
    config = read_checkpoint(name).model_config
    assert config is not None
    assert config["model"]["pretransform"]["config"]["codec"] in shipped_codecs()
    for kind in ("_tiny", "_tiny_dance", "_finetune", "_lora"):
        made_with = json.loads((ROOT / "model_configs" / f"snac_dit{kind}.json").read_text())
        assert made_with["model"] == config["model"], kind
        assert (made_with["training"] == config["training"]) == (kind == "_tiny_dance"), kind
    assert all(bool(p.isfinite().all()) for p in load_model(name).parameters())


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_file(DEFAULT) == MODELS / DEFAULT / "model.safetensors"
    (tmp_path / DEFAULT).touch()
    assert model_file(DEFAULT) == Path(DEFAULT)
    assert model_file("other.ckpt") == Path("other.ckpt")


@pytest.mark.slow
def test_generate_needs_no_checkpoint(tmp_path: Path) -> None:
    """A chunk of sound: neither silence nor full scale."""
    assert main(["generate", "--out", str(tmp_path), "--seed", "1", "--steps", "8"]) == 0
    audio, rate = soundfile.read(tmp_path / "seed_1.wav")
    assert (rate, len(audio)) == (32000, 196_608)
    assert 0.01 < np.sqrt((audio**2).mean()) < 0.5
    assert json.loads((tmp_path / "seed_1.json").read_text())["checkpoint"] == DEFAULT


@pytest.mark.slow
def test_the_page_needs_no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    from snac_plugin.interface import page

    made: dict[str, object] = {}
    monkeypatch.setattr(page, "create_page", lambda config, model, title, **options: made.update(options))
    run_gradio._page(run_gradio.parser().parse_args(["--device", "cpu"]))
    assert made["checkpoint"] == DEFAULT
