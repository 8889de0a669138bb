"""Conditioners of stable-audio-tools that failed or went wrong, beside its own code; T5 is a tiny one with random weights."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_audio_tools.models import conditioners
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from snac_plugin.config import check_model_config
from snac_plugin.errors import ConfigError
from snac_plugin.plugin import builders
from snac_plugin.plugin.registry import register

register()
WORDS = {word: index for index, word in enumerate(("<pad>", "<unk>", "a", "slow", "fast", "song"))}


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    T5EncoderModel(T5Config(vocab_size=len(WORDS), d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    return folder


def test_t5_is_loaded_from_a_folder(t5: Path) -> None:
    """Its width is that of the folder; two prompts differ, and padding is masked."""
    made = conditioners.T5Conditioner(output_dim=16, t5_model_name=str(t5), max_length=6)
    embeddings, mask = made(["a slow song", "a fast song"], "cpu")
    assert embeddings.shape == (2, 6, 16)
    assert mask.sum(dim=1).tolist() == [3, 3]
    assert embeddings.isfinite().all()
    assert not torch.equal(embeddings[0], embeddings[1])
    assert str(t5) not in conditioners.T5Conditioner.T5_MODELS


@pytest.mark.parametrize("name", ["t5-bse", "nowhere/at-all"])
def test_a_t5_that_is_not_known_is_said(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"t5_model_name: found '{name}', expected a folder with config.json.* or one of t5-small"
    ):
        conditioners.T5Conditioner(output_dim=16, t5_model_name=name)


@pytest.mark.parametrize("repaired", [False, True], ids=["the defect", "repaired"])
def test_t5_learns_with_enable_grad(t5: Path, repaired: bool) -> None:
    """In float16 Adam's epsilon is zero, and weights without a gradient become 0 / 0."""
    made = conditioners.T5Conditioner(output_dim=16, t5_model_name=str(t5), max_length=6, enable_grad=True)
    if not repaired:
        made.model.half()
    before = copy.deepcopy(made.model.state_dict())
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        made(["a slow song"], "cpu")[0].square().mean().backward()
        optimizer.step()
    after = made.model.state_dict()
    assert all(bool(value.isfinite().all()) for value in after.values()) == repaired
    assert any(not torch.equal(before[name], after[name]) for name in after)


def with_conditioner(codec: Path, conditioner: dict[str, Any], where: str, dim: str, width: int, **section: Any) -> dict[str, Any]:
    config = tiny_model_config(write_tiny_codec(codec), **{dim: width})
    config["model"]["conditioning"] = {"configs": [conditioner], "cond_dim": width, **section}
    config["model"]["diffusion"][where] = [conditioner["id"]]
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return config


@pytest.mark.parametrize("shape", [(3, 8), (8,)], ids=["tokens", "one vector"])
def test_pre_encoded_keys_reach_cross_attention(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """They came without a mask, and the concatenation of masks failed."""
    conditioner = {"id": "prompt", "type": "number", "config": {}}
    config = with_conditioner(tmp_path, conditioner, "cross_attention_cond_ids", "cond_token_dim", 8, pre_encoded_keys=["prompt"])
    model = builders.model(config)
    values = torch.randn(2, *shape)
    found = model.conditions([{"prompt": values[0]}, {"prompt": values[1]}])
    assert found.cross is not None
    assert found.cross_mask is not None
    assert torch.equal(found.cross, values if len(shape) == 2 else values[:, None])
    assert found.cross_mask.all()
    assert model.generate(conditioning={"prompt": values[0]}, progress=False, seed=1).isfinite().all()


def test_a_pretransform_conditioner_of_another_width(tmp_path: Path) -> None:
    """Its projection took the last axis, frames, for the channels."""
    conditioner = {"id": "melody", "type": "pretransform", "config": {"sample_rate": 32000, "use_model_pretransform": True}}
    config = with_conditioner(tmp_path, conditioner, "input_concat_ids", "input_concat_dim", 24)
    model = builders.model(config)
    audio = 0.1 * torch.randn(1, CHUNK_FRAMES * 3072)
    found = model.conditions([{"melody": audio}]).concat
    assert found is not None
    assert found.shape == (1, 24, CHUNK_FRAMES)
    projection = model.conditioner.conditioners["melody"].proj_out
    latents = model.pretransform.encode(audio[None])
    expected = torch.einsum("oc,bct->bot", projection.weight, latents) + projection.bias[:, None]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert {"proj_out.weight", "proj_out.bias"} <= model.conditioner.conditioners["melody"].state_dict().keys()


@pytest.mark.parametrize("where", ["cross_attention_cond_ids", "global_cond_ids", "prepend_cond_ids"])
def test_channels_of_frames_belong_to_input_concat_ids(tmp_path: Path, where: str) -> None:
    """Elsewhere channels would be taken for tokens."""
    conditioner = {"id": "melody", "type": "pretransform", "config": {}}
    dims = {"cross_attention_cond_ids": "cond_token_dim", "global_cond_ids": "global_cond_dim"}
    config = with_conditioner(tmp_path, conditioner, where, dims.get(where, "prepend_cond_dim"), 8)
    with pytest.raises(
        ConfigError, match=rf'{where}\[0\]: found "melody", a conditioner of type pretransform, expected it in input'
    ):
        check_model_config(config)
