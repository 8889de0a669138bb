"""A codec and a model small enough to be built and run in a test: SNAC's own class and geometry, random weights."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from snac import SNAC

from snac_plugin.levels import Levels

# The grid of snac_32khz; its attention has heads of 64 dimensions, so no width before it can be smaller.
CODEC_32KHZ = {
    "sampling_rate": 32000,
    "encoder_dim": 4,
    "encoder_rates": [2, 3, 8, 8],
    "decoder_dim": 64,
    "decoder_rates": [8, 8, 3, 2],
    "attn_window_size": 32,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [8, 4, 2, 1],
    "noise": True,
    "depthwise": True,
}
# The grid of snac_24khz: three levels, no attention.
CODEC_24KHZ = CODEC_32KHZ | {
    "sampling_rate": 24000,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "vq_strides": [4, 2, 1],
}
LEVELS_32KHZ, LEVELS_24KHZ = Levels.from_snac_config(CODEC_32KHZ), Levels.from_snac_config(CODEC_24KHZ)
CHUNK_FRAMES = 4


def write_tiny_codec(folder: Path, config: dict[str, Any] = CODEC_32KHZ, seed: int = 0) -> Path:
    """Write a randomly initialised codec in the hub's format: config.json and pytorch_model.bin.

    Returns:
        The folder, which is made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "pytorch_model.bin").write_bytes(_weights(json.dumps(config), seed))
    return folder


@cache
def _weights(config: str, seed: int) -> bytes:
    """The file of a codec's weights: many tests write the same one."""
    with torch.random.fork_rng(devices=[]), io.BytesIO() as file:
        torch.manual_seed(seed)
        torch.save(SNAC(**json.loads(config)).state_dict(), file)
        return file.getvalue()


def tiny_model_config(codec_folder: Path, **network: Any) -> dict[str, Any]:
    """A model config over such a codec: one chunk of four frames, no context, four steps.

    Args:
        codec_folder: a folder that `write_tiny_codec` wrote.
        network: keys of `model.diffusion.config` to set.
    """
    codec = json.loads((codec_folder / "config.json").read_text())
    strides, hop = codec["vq_strides"], 1
    for rate in codec["encoder_rates"]:
        hop *= rate
    options = {"dim": 32, "depth": 2, "num_heads": 2, "head": "velocity", "modulation_rank": 4}
    options |= {"chunk_frames": CHUNK_FRAMES, "context_chunks": 0, "sampling": {"steps": len(strides)}} | network
    chunk = options["chunk_frames"] * hop * strides[0]
    return {
        "model_type": "diffusion_snac_dit",
        "sample_size": chunk * (options["context_chunks"] + 1),
        "sample_rate": codec["sampling_rate"],
        "audio_channels": 1,
        "model": {
            "pretransform": {"type": "snac_hierarchical", "config": {"codec": str(codec_folder)}},
            "diffusion": {"type": "snac_dit", "diffusion_objective": "rectified_flow", "config": options},
            "io_channels": sum(strides[0] // stride for stride in strides) * codec["codebook_dim"],
        },
        "training": {
            "learning_rate": 1e-3,
            "demo": {"demo_every": 2, "demo_steps": len(strides), "num_demos": 1, "demo_cfg_scales": [1]},
        },
    }


def conditioned_model_config(codec_folder: Path) -> dict[str, Any]:
    """A tiny model's config with one chunk of context, conditioned on `style` (a mixture), `tempo` and `place` (of the chunk)."""
    config = tiny_model_config(codec_folder, head="logits", context_chunks=1, global_cond_dim=24)
    configs = [
        {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
        {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}},
        {"id": "place", "type": "chunk_position", "config": {}},
    ]
    config["model"]["conditioning"] = {"configs": configs, "cond_dim": 8}
    config["model"]["diffusion"]["global_cond_ids"] = ["style", "tempo", "place"]
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return config
