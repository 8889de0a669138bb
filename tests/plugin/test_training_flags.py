"""Flags and optimizers of stable-audio-tools' train.py that were taken, and then failed or did nothing."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from small_codecs import small_codec
from stable_audio_tools.models import utils
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli.lightning_trainer import make_trainer
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.errors import ConfigError, UsageError
from snac_plugin.plugin import builders
from snac_plugin.plugin.registry import register
from snac_plugin.plugin.training_builders import training_wrapper

register()


def test_weight_norm_can_be_removed_and_results_stay() -> None:
    """`--remove-pretransform-weight-norm post_load` failed at the first convolution; both kinds of names load afterwards."""
    codec = SnacPretransform(small_codec("32 kHz"))
    audio = 0.1 * torch.randn(1, 1, 2 * 12288, generator=torch.Generator().manual_seed(0))
    codes, sound = codec.tokenize(audio), codec.decode(codec.encode(audio))
    assert utils.remove_weight_norm_from_model(codec) is codec
    assert not any("parametrizations" in name for name in codec.state_dict())
    assert torch.equal(codec.tokenize(audio), codes)
    assert torch.equal(codec.decode(codec.encode(audio)), sound)


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_fused_adam_without_deepspeed_is_said_before_training(tmp_path: Path) -> None:
    """It passed the check of the config, and failed with a ModuleNotFoundError; a model trained with it still loads."""
    config = tiny_model_config(write_tiny_codec(tmp_path))
    del config["training"]["learning_rate"]
    config["training"]["optimizer_configs"] = {"diffusion": {"optimizer": {"type": "FusedAdam", "config": {"lr": 1e-4}}}}
    model = builders.model(config)
    with pytest.raises(ConfigError, match=r'diffusion.optimizer.type: found "FusedAdam" of DeepSpeed.*expected "AdamW"'):
        training_wrapper(config, model)


def test_more_gpus_than_there_are_is_said(tmp_path: Path) -> None:
    args = Namespace(accelerator="auto", num_gpus=99, val_every=-1, accum_batches=1)
    with pytest.raises(UsageError, match="--num-gpus: found 99, expected -1, or at most the"):
        make_trainer(args, tmp_path, None, [], False)


def test_fsdp_without_gpus_is_said(tmp_path: Path) -> None:
    """Lightning shards weights on GPUs alone."""
    known = {"num_nodes": 1, "precision": "32-true", "gradient_clip_val": 1.0, "logger": "none", "max_steps": 1, "name": "x"}
    args = Namespace(accelerator="cpu", num_gpus=2, strategy="fsdp", val_every=-1, accum_batches=1, **known)
    with pytest.raises(UsageError, match="strategy to be fsdp, but GPU accelerator is not used"):
        make_trainer(args, tmp_path, None, [], False)
