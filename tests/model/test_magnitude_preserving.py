"""Magnitudes: 1 in, 1 out, whatever the size of the weights; rows of weights keep norm 1 in training, resumed bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from networks import FOUR_LEVELS, make_network
from test_training_pass import window
from torch import Tensor

from snac_plugin.config import NetworkConfig
from snac_plugin.model.backbones import network_of
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.magnitude_preserving import MPBlock, MPLinear, mp_silu, mp_sum, unit
from snac_plugin.model.training_pass import all_stages

WIDE: dict[str, Any] = {"backbone": "magnitude-preserving", "dim": 128, "num_heads": 4}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def magnitude(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_sums_and_activations_of_independent_inputs_keep_their_magnitude(share: float) -> None:
    a, b = drawn(200_000), drawn(200_000, seed=1)
    assert magnitude(mp_sum(a, b, share)) == pytest.approx(1, abs=0.01)
    assert magnitude(mp_silu(a)) == pytest.approx(1, abs=0.01)
    assert magnitude(mp_silu(a) * b) == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(mp_sum(a, b, share) * ((1 - share) ** 2 + share**2) ** 0.5, (1 - share) * a + share * b)


def test_a_layer_keeps_the_magnitude_whatever_the_size_of_its_weights() -> None:
    layer, x = MPLinear(64, 512).double(), drawn(500, 64)
    before = layer(x)
    assert magnitude(before) == pytest.approx(1, abs=0.02)
    with torch.no_grad():
        layer.weight.mul_(torch.linspace(0.1, 10, 512)[:, None])
    torch.testing.assert_close(layer(x), before)
    layer.normalise()
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.ones(512, dtype=torch.float64))
    torch.testing.assert_close(layer(x), before)


def test_every_layer_of_the_trunk_gives_unit_magnitude() -> None:
    """Of any inputs: ten times as large latents arrive alike in size, and no block lets them grow."""
    network, seen = make_network(FOUR_LEVELS, **WIDE, depth=4), []
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(".gain"):
                parameter.zero_()  # as at the start of a training
    for module in network.modules():
        if isinstance(module, MPBlock):
            for part in (module.to_qkv, module.ff_in, module.ff_out, module):
                part.register_forward_hook(lambda module, _, out: seen.append((type(module).__name__, magnitude(out))))
    clean, noised, t = window(FOUR_LEVELS, frames=6, chunks=2)
    all_stages(network, 10 * clean, 10 * noised, t, Conditions())
    assert len(seen) == 4 * 4
    for _, found in seen:
        assert found == pytest.approx(1, abs=0.1)


def test_unit_magnitude_is_that_of_each_token() -> None:
    x = unit(drawn(3, 5, 8) * torch.tensor([1e-2, 1.0, 1e3])[:, None, None])
    torch.testing.assert_close(x.square().mean(dim=-1), torch.ones(3, 5, dtype=torch.float64))
    assert not unit(torch.zeros(1, 8)).any()


def test_the_first_output_is_that_of_predicting_nothing() -> None:
    network = network_of(NetworkConfig(**WIDE, depth=2, chunk_frames=3), FOUR_LEVELS).double()
    clean, noised, t = window(FOUR_LEVELS, frames=3, chunks=1)
    assert not any(output.any() for output in all_stages(network, clean, noised, t, Conditions()))


@pytest.mark.slow
def test_weights_keep_their_norm_in_training_and_resume_bit_for_bit(tmp_path: Path) -> None:
    from small_runs import prepare, run

    flags = prepare(tmp_path, backbone="magnitude-preserving", context_chunks=1, head="logits", read_out="code", patch={"D": 2})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    newest = run(flags, whole, "--max-steps", 4, "--checkpoint-every", 1)
    saved = {path: torch.load(path, weights_only=False)["state_dict"] for path in whole.rglob("*.ckpt")}
    rows = [name for name in saved[newest] if name.startswith("diffusion.model.network.") and saved[newest][name].ndim == 2]
    rows = [name for name in rows if "embedding" not in name and "fourier" not in name]
    assert len(rows) > 10
    for weights in saved.values():
        for name in rows:
            norms = weights[name].norm(dim=1)
            torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-5)
    run(flags, parts, "--max-steps", 2)
    torch.manual_seed(99)
    resumed = torch.load(run(flags, parts, "--max-steps", 4, "--recover", "true"), weights_only=False)["state_dict"]
    assert [name for name, value in saved[newest].items() if not torch.equal(resumed[name], value)] == []
