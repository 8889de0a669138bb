"""Every config that ships passes its own checks, against the published geometry of its codec."""

import subprocess
import sys
from pathlib import Path

import pytest
from config_examples import LEVELS_24, LEVELS_32

from snac_plugin.config import (
    check_against_codec,
    check_codec_config,
    check_dataset_config,
    check_model_config,
    load_json,
    snac_config,
)

ROOT = Path(__file__).parents[2]
CODECS = {
    "snac_tiny_32khz": LEVELS_32,
    "snac_tiny_32khz_v2": LEVELS_32,
    "hubertsiuzdak/snac_32khz": LEVELS_32,
    "hubertsiuzdak/snac_24khz": LEVELS_24,
}


@pytest.mark.parametrize("path", sorted((ROOT / "model_configs").glob("*.json")), ids=lambda path: path.stem)
def test_shipped_model_config_fits(path):
    raw = load_json(path)
    if raw["model_type"] == "autoencoder":
        codec = check_codec_config(raw, str(path))
        assert snac_config(codec.model, codec.sample_rate, sample_size=codec.sample_size)["vq_strides"] == [8, 4, 2, 1]
        return
    config = check_model_config(raw, str(path))
    codec = config.model.pretransform.config.codec
    check_against_codec(config, CODECS[codec], codec, str(path))
    assert raw["audio_channels"] == 1, "stable-audio-tools' train.py takes 2 where the key is missing"


@pytest.mark.parametrize("path", sorted((ROOT / "dataset_configs").glob("*.json")), ids=lambda path: path.stem)
def test_shipped_dataset_config_fits(path):
    config = load_json(path)
    assert check_dataset_config(config, str(path), check_paths=False) == config


def test_production_chunks_last_about_six_seconds():
    for name, seconds in (("snac_dit_32khz", 6.144), ("snac_dit_24khz", 6.144)):
        config = check_model_config(load_json(ROOT / "model_configs" / f"{name}.json"))
        chunks = config.model.diffusion.config.context_chunks + 1
        assert config.sample_size / chunks / config.sample_rate == pytest.approx(seconds)
        assert config.training is not None
        assert config.training.curriculum is not None
        assert [max(map(int, phase.context)) for phase in config.training.curriculum] == [0, 1, 2]


@pytest.mark.slow
def test_configs_are_checked_without_torch():
    """A typo in a config should cost milliseconds, and the interpreter's start-up hook may read configs."""
    code = "import sys, snac_plugin.config; assert not {'torch', 'numpy', 'stable_audio_tools'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
