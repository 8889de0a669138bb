"""A tiny model of stable-audio-tools' own, and an audio folder to train it on: nothing of this package."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

SAMPLE_RATE, SAMPLE_SIZE = 8000, 2048

DIFFUSION_COND: dict[str, Any] = {
    "model_type": "diffusion_cond",
    "sample_size": SAMPLE_SIZE,
    "sample_rate": SAMPLE_RATE,
    "audio_channels": 1,
    "model": {
        "pretransform": {"type": "patched", "config": {"channels": 1, "patch_size": 32}},
        "io_channels": 32,
        "conditioning": {
            "configs": [{"id": "seconds_total", "type": "number", "config": {"min_val": 0, "max_val": 10}}],
            "cond_dim": 16,
        },
        "diffusion": {
            "type": "dit",
            "diffusion_objective": "rectified_flow",
            "cross_attention_cond_ids": ["seconds_total"],
            "config": {"io_channels": 32, "embed_dim": 32, "depth": 1, "num_heads": 1, "cond_token_dim": 16},
        },
    },
    "training": {
        "optimizer_configs": {
            "diffusion": {
                "optimizer": {"type": "AdamW", "config": {"lr": 5e-5, "betas": [0.9, 0.999], "weight_decay": 1e-3}},
                "scheduler": {"type": "InverseLR", "config": {"inv_gamma": 1000000, "power": 0.5, "warmup": 0.99}},
            }
        },
        "demo": {
            "demo_every": 1,
            "demo_steps": 2,
            "num_demos": 1,
            "demo_cond": [{"seconds_total": 1}],
            "demo_cfg_scales": [1],
        },
    },
}


def diffusion_cond() -> dict[str, Any]:
    """A model config that the test may change."""
    return copy.deepcopy(DIFFUSION_COND)


def audio_folder(folder: Path, files: int = 4) -> dict[str, Any]:
    """Write noise as wav files, of lengths below and above the model's, and return a dataset config for them."""
    generator = np.random.default_rng(0)
    for index in range(files):
        samples = generator.uniform(-0.5, 0.5, SAMPLE_SIZE * (1 + index) // 2)
        soundfile.write(folder / f"{index}.wav", samples, SAMPLE_RATE)
    return {"dataset_type": "audio_dir", "datasets": [{"id": "noise", "path": str(folder)}], "random_crop": True}
