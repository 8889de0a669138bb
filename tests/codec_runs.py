"""Trainings of a tiny codec on a few seconds of notes, through the code behind `train.py`."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tiny import CODEC_24KHZ

CODEC = CODEC_24KHZ | {"codebook_size": 64}
SAMPLE_SIZE = 4096  # two frames of two grids: SNAC at 24 kHz encodes multiples of 2,048

ENCODER = {key: CODEC[key] for key in ("encoder_dim", "encoder_rates", "attn_window_size", "depthwise")}
DECODER = {key: CODEC[key] for key in ("decoder_dim", "decoder_rates", "attn_window_size", "noise", "depthwise")}
QUANTISER = {key: CODEC[key] for key in ("codebook_size", "codebook_dim", "vq_strides")}

ADAM = {"optimizer": {"type": "AdamW", "config": {"lr": 1e-3, "betas": [0.8, 0.99]}}}
CODEC_CONFIG: dict[str, Any] = {
    "model_type": "autoencoder",
    "sample_size": SAMPLE_SIZE,
    "sample_rate": 24000,
    "audio_channels": 1,
    "model": {
        "encoder": {"type": "snac", "config": ENCODER},
        "bottleneck": {"type": "snac_rvq", "config": QUANTISER | {"start_vectors": 32}},
        "decoder": {"type": "snac", "config": DECODER},
        "latent_dim": 64,
        "downsampling_ratio": 512,
        "io_channels": 1,
    },
    "training": {
        "use_ema": True,
        "warmup_steps": 1,
        "optimizer_configs": {"autoencoder": ADAM, "discriminator": copy.deepcopy(ADAM)},
        "loss_configs": {
            "discriminator": {
                "type": "encodec",
                "config": {"filters": 2, "n_ffts": [256], "hop_lengths": [64], "win_lengths": [256]},
                "weights": {"adversarial": 0.1, "feature_matching": 5.0},
            },
            "spectral": {
                "type": "mrstft",
                "config": {
                    "fft_sizes": [512, 128],
                    "hop_sizes": [128, 32],
                    "win_lengths": [512, 128],
                    "perceptual_weighting": True,
                },
                "weights": {"mrstft": 1.0},
            },
            "time": {"type": "l1", "weights": {"l1": 1.0}},
        },
        "demo": {"demo_every": 1000, "num_demos": 1},
    },
}


def codec_config(**training: Any) -> dict[str, Any]:
    """A config that the test may change.

    Args:
        training: keys of `training` to set; None takes a key out.
    """
    config = copy.deepcopy(CODEC_CONFIG)
    config["training"] = {key: value for key, value in (config["training"] | training).items() if value is not None}
    return config


def without_discriminator(config: dict[str, Any]) -> dict[str, Any]:
    """The same config with spectral and waveform losses alone."""
    del config["training"]["loss_configs"]["discriminator"]
    config["training"].get("optimizer_configs", {}).pop("discriminator", None)
    return config


def melody(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """Random notes with overtones at 24 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(6000) / 24_000
    notes = [
        sum(np.sin(2 * np.pi * f * k * time) / k for k in (1, 2, 3)) * np.exp(-6 * time)
        for f in 220 * 2 ** (rng.integers(0, 24, int(4 * seconds)) / 12)
    ]
    return np.concatenate(notes) * 0.25


def prepare(folder: Path, config: dict[str, Any]) -> list[str]:
    """Write a model config, audio and a dataset config into a folder; the flags that name them."""
    audio = folder / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    for index in range(2):
        soundfile.write(audio / f"{index}.wav", melody(seed=index), 24_000)
    dataset = {"dataset_type": "audio_dir", "datasets": [{"id": "notes", "path": str(audio)}], "random_crop": True}
    for name, content in (("model", config), ("dataset", dataset)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return ["--model-config", str(folder / "model.json"), "--dataset-config", str(folder / "dataset.json")]
