"""Low-rank adapters of the network, in float64: against their formula, peft's own loader, the slow path and the base."""

from pathlib import Path

import pytest
import torch
from networks import FOUR_LEVELS, make_network
from torch import Tensor

from snac_plugin.checkpoints.adapters import Adapter, base_fingerprint, folded, write_adapter
from snac_plugin.config.training_keys import LoraSection
from snac_plugin.errors import CheckpointError, ConfigError
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.lora import add_trained_adapter, let_act, put_adapter, remove_adapters, trained_adapter
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import all_stages

SECTION = LoraSection(rank=3, alpha=6.0)


def trained(section: LoraSection = SECTION, seed: int = 1) -> SnacDiT:
    """A network with an adapter that changes its output."""
    network = make_network(FOUR_LEVELS)
    torch.manual_seed(seed)
    add_trained_adapter(network, section)
    for name, weight in network.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=0.1)
    return network


def adapter(section: LoraSection = SECTION, seed: int = 1) -> Adapter:
    config, weights = trained_adapter(trained(section, seed))
    return Adapter(Path("adapter.safetensors"), config, weights, None)


def outputs(network: SnacDiT) -> Tensor:
    """All levels' outputs for fixed inputs, in one row."""
    generator = torch.Generator().manual_seed(0)
    clean, noised = (torch.randn(2, 120, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.rand(2, 1, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        return torch.cat([stage.flatten() for stage in all_stages(network, clean, noised, t, Conditions())])


@pytest.fixture
def network() -> SnacDiT:
    """Frozen, as models are that generate: torch multiplies by weights that want gradients in another order."""
    return make_network(FOUR_LEVELS).requires_grad_(False)


def test_a_new_adapter_changes_nothing_and_only_its_second_factor_learns_at_first(network: SnacDiT) -> None:
    """B starts at 0: outputs are the base's, and A has a gradient of exactly zero in the first step."""
    expected = outputs(network)
    add_trained_adapter(network, SECTION)
    assert torch.equal(outputs(network), expected)
    ones, halves = torch.ones(1, 120, 3).double(), torch.full((1, 1, 4), 0.5).double()
    stages = all_stages(network, ones, ones, halves, Conditions())
    torch.cat([stage.flatten() for stage in stages]).square().sum().backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.requires_grad}
    assert all(".lora_" in name for name in gradients)
    assert not any(gradient.any() for name, gradient in gradients.items() if ".lora_A." in name)
    assert all(gradient.any() for name, gradient in gradients.items() if ".lora_B." in name)
    assert all(weight.grad is None for weight in network.parameters() if not weight.requires_grad)


def test_strengths_merging_and_folding_agree_with_the_formula(network: SnacDiT) -> None:
    """W + s alpha / rank B A, summed over adapters: as they act, merged by peft, and written out here."""
    first, second = adapter(seed=1), adapter(LoraSection(rank=2, alpha=2.0, target_modules=("to_qkv",)), seed=2)
    expected = make_network(FOUR_LEVELS)
    layers = dict(expected.named_modules())
    for one, strength in ((first, 0.7), (second, -0.4)):
        scale = strength * one.config["lora_alpha"] / one.config["r"]
        for name, down in one.weights.items():
            if name.endswith(".lora_A.weight"):
                layer = layers[name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")]
                layer.weight.data += scale * one.weights[name.replace("lora_A", "lora_B")] @ down
    put_adapter(network, first, "a")
    put_adapter(network, second, "b")
    let_act(network, {"a": 0.7, "b": -0.4})
    torch.testing.assert_close(outputs(network), outputs(expected), rtol=0, atol=1e-10)
    remove_adapters(network, merge=True)
    assert network.state_dict().keys() == expected.state_dict().keys()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=0, atol=1e-12, msg=name)
    in_training = {f"model.network.{name}": value for name, value in trained().state_dict().items()}
    plain = make_network(FOUR_LEVELS)
    plain.load_state_dict({name.removeprefix("model.network."): value for name, value in folded(in_training, 2.0).items()})
    torch.testing.assert_close(outputs(plain), outputs(trained()), rtol=0, atol=1e-6)  # folded in float32


def test_at_strength_0_and_after_removal_the_network_is_the_base_bit_for_bit(network: SnacDiT) -> None:
    expected, names = outputs(network), set(network.state_dict())
    put_adapter(network, adapter(), "a")
    let_act(network, {"a": 0.0})
    assert torch.equal(outputs(network), expected)
    let_act(network, {"a": 1.0})
    assert (outputs(network) - expected).abs().max() > 1e-3
    remove_adapters(network)
    assert torch.equal(outputs(network), expected)
    assert set(network.state_dict()) == names


def test_peft_itself_loads_what_is_written(network: SnacDiT, tmp_path: Path) -> None:
    """The folder is in peft's own format, so that other programs can take it."""
    from peft import PeftModel

    model = trained()
    config, weights = trained_adapter(model)
    write_adapter(tmp_path, config, weights, "0123456789ab")
    loaded = PeftModel.from_pretrained(network, str(tmp_path))
    torch.testing.assert_close(outputs(loaded.get_base_model()), outputs(model), rtol=0, atol=1e-6)  # stored in float32


def test_cached_stages_equal_recomputing_with_adapters(network: SnacDiT) -> None:
    """The fast path of generation, keys and values cached, against the one forward."""
    put_adapter(network, adapter(), "a")
    let_act(network, {"a": 0.5})
    clean, noised = (torch.randn(2, 120, 6, dtype=torch.float64) for _ in range(2))
    t = torch.rand(2, 2, 4, dtype=torch.float64)
    reference = all_stages(network, clean, noised, t, Conditions())
    chunk = ChunkInProgress(network, Prompt(Conditions(), None, clean[..., :3], None), 2)
    for level, count in enumerate(FOUR_LEVELS.per_frame):
        stage, span = chunk.outputs(level), slice(3 * count, None)
        found = stage(FOUR_LEVELS.unpack_latents(noised)[level][:, span], t[:, 1, level])
        torch.testing.assert_close(found, reference[level][:, span], rtol=0, atol=1e-10)
        chunk.append(level, FOUR_LEVELS.unpack_latents(clean)[level][:, span])


def test_blocks_and_layers_are_chosen(network: SnacDiT) -> None:
    add_trained_adapter(network, LoraSection(target_modules=("to_out",), blocks=(1,)))
    names = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert names == {f"blocks.1.attention.to_out.lora_{part}.default.weight" for part in "AB"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (LoraSection(target_modules=("to_qvk",)), "training.lora.target_modules: found to_qvk, expected of .*attention.to_qkv"),
        (LoraSection(target_modules=("to_q",)), "training.lora.target_modules: found to_q, expected of"),
        (LoraSection(blocks=(0, 7)), "training.lora.blocks: found 7, expected numbers of blocks from 0 to 1"),
    ],
)
def test_layers_that_the_network_lacks_are_named(network: SnacDiT, section: LoraSection, message: str) -> None:
    """peft takes a list of which one name fits, and leaves the others out without a word."""
    with pytest.raises(ConfigError, match=message):
        add_trained_adapter(network, section)


def test_an_adapter_of_other_shapes_is_refused() -> None:
    wider = make_network(FOUR_LEVELS, dim=48, num_heads=3)
    with pytest.raises(CheckpointError, match=r"weights of another shape.* expected an adapter of this model"):
        put_adapter(wider, adapter(), "a")


def test_the_fingerprint_is_that_of_the_model_below(network: SnacDiT) -> None:
    """The same with an adapter on it and when it was stored in half precision; another when a weight differs."""
    base = base_fingerprint(network.float().state_dict())
    halves = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    assert base_fingerprint(halves) == base
    add_trained_adapter(network, SECTION)
    assert base_fingerprint(network.state_dict()) == base
    network.token_embedding.data[0, 0, 0] += 0.1
    assert base_fingerprint(network.state_dict()) != base
