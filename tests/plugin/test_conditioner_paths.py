"""Every type of conditioner in every list that reads it: masks honoured, dropped in training, guided, generated with."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_audio_tools.models import conditioners
from test_conditioner_repairs import WORDS
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from snac_plugin.config.conditioner_keys import KINDS
from snac_plugin.errors import UsageError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditioners import blanks, chosen
from snac_plugin.plugin import builders
from snac_plugin.plugin.registry import register

register()
FRAMES = CHUNK_FRAMES
AUDIO = 0.1 * torch.randn(2, 1, FRAMES * 3072, generator=torch.Generator().manual_seed(0))
LISTS = {
    "cross_attention_cond_ids": ("cond_token_dim", "cross"),
    "global_cond_ids": ("global_cond_dim", "embedding"),
    "prepend_cond_ids": ("prepend_cond_dim", "prepended"),
    "input_concat_ids": ("input_concat_dim", "concat"),
}
# Of each type: its config, and two values.
TYPES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "number": ({"min_val": 60, "max_val": 200}, 90, 180),
    "int": ({"max_val": 8}, 2, 7),
    "list": ({"options": ["house", "jazz"]}, "house", "jazz"),
    "class_mixture": ({"classes": ["house", "jazz"]}, "house:0.7,jazz:0.3", "jazz"),
    "quality": ({"thresholds": [1, 2, 3, 4]}, "high", 0.5),
    "t5": ({"max_length": 6}, "a slow song", "a fast song song"),
    "lut": ({"max_length": 6}, "a slow song", "a fast song song"),
    "pretransform": ({"sample_rate": 32000, "use_model_pretransform": True}, AUDIO[0], AUDIO[1]),
    "source_mix": (
        {"sample_rate": 32000, "use_model_pretransform": True, "source_keys": ["bass"]},
        {"bass": AUDIO[0]},
        {"bass": AUDIO[1]},
    ),
    "chunk_position": ({}, "0/8", "7/8"),
}
SEVERAL, SPATIAL = ("t5", "lut"), ("pretransform", "source_mix")
NEED_A_MODEL_OF_THEIR_OWN = {
    "clap_text",
    "clap_audio",
    "phoneme",
}  # or a package that is not in the tested set


def reads(kind: str, where: str) -> bool:
    """The table of docs/conditioning.md."""
    if kind in SPATIAL:
        return where == "input_concat_ids"
    if kind == "chunk_position":
        return where == "global_cond_ids"
    return kind not in SEVERAL or where in ("cross_attention_cond_ids", "prepend_cond_ids")


PAIRS = [(kind, where) for kind in TYPES for where in LISTS if reads(kind, where)]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    write_tiny_codec(folder / "codec")
    torch.manual_seed(0)
    sizes = T5Config(vocab_size=len(WORDS), d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5EncoderModel(sizes).save_pretrained(folder / "t5")
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(folder / "t5")
    return folder


@cache
def model_of(parts: Path, kind: str, where: str) -> SnacDiffusion:
    """A model whose every weight matters, with that conditioner in that list alone."""
    torch.manual_seed(0)
    options = dict(TYPES[kind][0])
    if kind in SEVERAL:
        options["t5_model_name" if kind == "t5" else "tokenizer_name"] = str(parts / "t5")
    config = tiny_model_config(parts / "codec", head="logits", **{LISTS[where][0]: 8})
    config["model"]["conditioning"] = {"configs": [{"id": "it", "type": kind, "config": options}], "cond_dim": 8}
    config["model"]["diffusion"][where] = ["it"]
    config["training"] |= {"condition_dropout": 0.1, "demo": {"demo_cond_from_batch": True}}
    model = builders.model(config)
    for parameter in model.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def codes(model: SnacDiffusion, value: Any, **options: Any) -> Tensor:
    asked: dict[str, Any] = {"conditioning": {"it": value}, "seed": 1, "progress": False, "cfg_scale": 1.0} | options
    return model.generate(**asked, return_codes=True)[1]


def test_all_types_are_visited() -> None:
    assert {*TYPES} | NEED_A_MODEL_OF_THEIR_OWN | {"snac_context"} == {*KINDS}


@pytest.mark.parametrize(("kind", "where"), PAIRS)
def test_a_condition_is_read_dropped_and_guided(parts: Path, kind: str, where: str) -> None:
    """Its value changes the codes; dropped, in training or by a scale of 0, it no longer does; guidance and negatives act."""
    model, (_, one, other) = model_of(parts, kind, where), TYPES[kind]
    values = [{"it": one}, {"it": other}]
    conditions = model.conditions(values)
    found = getattr(conditions, LISTS[where][1])
    assert found is not None
    assert found.isfinite().all()
    assert not torch.equal(found[0], found[1])
    plain = codes(model, one)
    assert not torch.equal(plain, codes(model, other))
    assert torch.equal(plain, codes(model, one, guidance={"it": 1.0}))
    assert not torch.equal(plain, codes(model, one, guidance={"it": 4.0}))
    if kind in SEVERAL:  # padding masks stay, so the number of hidden tokens is all that is left
        one, other = "a slow song", "a fast song"
    assert torch.equal(codes(model, one, guidance={"it": 0.0}), codes(model, other, guidance={"it": 0.0}))
    if kind != "chunk_position":  # a chunk lies where it lies
        led = codes(model, one, guidance={"it": 0.0}, negative_conditioning={"it": other})
        assert torch.equal(led, codes(model, other))
    tensors = model.condition_tensors(values)
    nothing = blanks(tensors, model.conditioner.by_id)
    half = {"it": chosen(torch.tensor([True, False]), tensors["it"], nothing["it"])}
    dropped = getattr(model.joined(half), LISTS[where][1])
    assert torch.equal(dropped[0], found[0])
    assert not torch.equal(dropped[1], found[1])


@pytest.mark.parametrize(("kind", "where"), [pair for pair in PAIRS if pair[1] != "input_concat_ids"])
def test_cfg_scale_drops_it_too(parts: Path, kind: str, where: str) -> None:
    """`input_concat_ids` stay in both branches, as in stable-audio-tools; the others are dropped as in training."""
    model, (_, one, _) = model_of(parts, kind, where), TYPES[kind]
    assert torch.equal(codes(model, one, cfg_scale=0.0), codes(model, one, guidance={"it": 0.0}))
    assert not torch.equal(codes(model, one), codes(model, one, cfg_scale=4.0))


@pytest.mark.parametrize("where", ["cross_attention_cond_ids", "prepend_cond_ids"])
@pytest.mark.parametrize("kind", SEVERAL)
def test_padding_is_hidden(parts: Path, kind: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tokens after a text's end hold reaches no code."""
    model = model_of(parts, kind, where)
    plain, kept = codes(model, "a song"), conditioners.T5Conditioner if kind == "t5" else conditioners.TokenizerLUTConditioner
    forward = kept.forward

    def noisy(self: Any, texts: list[str], device: Any) -> Any:
        tokens, mask = forward(self, texts, device)
        return torch.where(mask[..., None].bool(), tokens, 9.0), mask

    monkeypatch.setattr(kept, "forward", noisy)
    assert torch.equal(plain, codes(model, "a song"))


@pytest.mark.parametrize("where", ["global_cond_ids", "input_concat_ids"])
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_tokens_where_one_vector_is_read(parts: Path, kind: str, where: str) -> None:
    """They were added up wrongly, or failed with a message about shapes."""
    with pytest.raises(UsageError, match=rf"for 'it', expected one vector a sample for {where}"):
        model_of(parts, kind, where).conditions([{"it": "a slow song"}])


def test_a_vector_in_the_input_channels_holds_for_all_frames(parts: Path) -> None:
    """A number beside channels for each frame; it took its features for frames."""
    model = model_of(parts, "number", "input_concat_ids")
    found = model.conditions([{"it": 90}]).concat
    value = model.conditioner.conditioners["it"]([90])[0]
    assert found is not None
    assert torch.equal(found, value.transpose(1, 2))
    both = model.conditions([{"it": 90}]).fitted(5).concat
    assert both is not None
    assert torch.equal(both, value.transpose(1, 2).expand(-1, -1, 5))


def test_a_negative_in_front_reaches_stable_audio_tools_call(parts: Path) -> None:
    """Their wrapper left the negative's prepended tokens out, so guidance led away from nothing."""
    model = model_of(parts, "number", "prepend_cond_ids")
    inputs = model.get_conditioning_inputs(model.conditioner([{"it": 90}], "cpu"), negative=True)
    assert torch.equal(inputs["negative_prepend_cond"], model.conditioner.conditioners["it"]([90])[0])
