"""Guidance against its formulas written out."""

import pytest
import torch
from torch import Tensor

from snac_plugin.diffusion.guidance import Guidance


def branches() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    conditioned, unconditioned = torch.randn(2, 3, 5, 8, generator=generator, dtype=torch.float64)
    return conditioned, unconditioned, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_scale_goes_from_the_unconditioned_through_the_conditioned(scale: float) -> None:
    conditioned, unconditioned, t = branches()
    guided = Guidance(scale).combine(conditioned, unconditioned, t)
    torch.testing.assert_close(guided, scale * conditioned + (1 - scale) * unconditioned, rtol=0, atol=1e-12)


def test_full_rescale_keeps_the_conditioned_deviation_of_each_sample() -> None:
    """Deviations over the whole batch would let one sample set the volume of another."""
    conditioned, unconditioned, t = branches()
    conditioned[1] *= 10
    guided = Guidance(4.0, rescale=1.0).combine(conditioned, unconditioned, t)
    torch.testing.assert_close(guided.std(dim=(1, 2)), conditioned.std(dim=(1, 2)), rtol=1e-9, atol=0)
    plain = Guidance(4.0).combine(conditioned, unconditioned, t)
    half = Guidance(4.0, rescale=0.5).combine(conditioned, unconditioned, t)
    torch.testing.assert_close(half, (plain + guided) / 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "factors"), [("constant", (1, 1, 1)), ("rising", (0.9, 0.5, 0.1)), ("falling", (0.1, 0.5, 0.9))]
)
def test_a_schedule_weighs_every_scale_by_the_noise_level_of_each_sample(schedule: str, factors: tuple[float, ...]) -> None:
    """Rising: weak where most is noise, that is at first."""
    conditioned, unconditioned, t = branches()
    style, weight = torch.randn_like(conditioned), torch.tensor(factors, dtype=torch.float64)[:, None, None]
    guidance = Guidance(3.0, by_condition={"style": 5.0}, schedule=schedule)
    expected = conditioned + weight * (2 * (conditioned - unconditioned) + 4 * (conditioned - style))
    torch.testing.assert_close(guidance.combine(conditioned, unconditioned, t, {"style": style}), expected, rtol=0, atol=1e-12)


def test_outside_its_interval_guidance_does_nothing() -> None:
    """Each sample of a batch has its own t."""
    conditioned, unconditioned, t = branches()
    guided = Guidance(3.0, interval=(0.3, 0.7)).combine(conditioned, unconditioned, t)
    everywhere = Guidance(3.0).combine(conditioned, unconditioned, t)
    assert torch.equal(guided[[0, 2]], conditioned[[0, 2]])
    assert torch.equal(guided[1], everywhere[1])


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_each_condition_has_a_scale_of_its_own(scale: float) -> None:
    """The formula of the docstring, written out; scales of 1 add nothing."""
    full, none, t = branches()
    without = {"style": torch.randn_like(full), "tempo": torch.randn_like(full)}
    found = Guidance(scale, by_condition={"style": 4.0, "tempo": 1.0}).combine(full, none if scale != 1 else None, t, without)
    expected = full + (scale - 1) * (full - none) + 3 * (full - without["style"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_one_condition_alone_is_classifier_free_guidance() -> None:
    conditioned, unconditioned, t = branches()
    for rescale, interval in ((0.0, (0.0, 1.0)), (0.7, (0.3, 0.7))):
        alone = Guidance(1.0, rescale, interval, {"style": 2.5}).combine(conditioned, None, t, {"style": unconditioned})
        usual = Guidance(2.5, rescale, interval).combine(conditioned, unconditioned, t)
        torch.testing.assert_close(alone, usual, rtol=0, atol=1e-12)


def test_a_scale_of_zero_drops_the_condition() -> None:
    conditioned, other, t = branches()
    found = Guidance(by_condition={"style": 0.0}).combine(conditioned, None, t, {"style": other})
    torch.testing.assert_close(found, other, rtol=0, atol=1e-12)


def test_only_scale_one_needs_no_second_branch() -> None:
    assert not Guidance(1.0, rescale=0.7).acts
    assert Guidance(0.0).acts
    assert Guidance(1.5).acts
    assert not Guidance(by_condition={"style": 1.0}).acts
    assert Guidance(by_condition={"style": 0.0}).acts
