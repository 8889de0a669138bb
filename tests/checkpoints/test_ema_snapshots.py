"""Averages of any length: the paper's profiles by numerical integration, and rebuilt averages beside directly tracked ones."""

import numpy as np
import pytest
import torch

from snac_plugin.checkpoints.ema_snapshots import factors, gamma_of, products
from snac_plugin.training.averages import PowerAverages

LENGTHS = (0.01, 0.05, 0.1, 0.15, 0.25)


def profile(gamma: float, last: int, t: np.ndarray) -> np.ndarray:
    return np.where(t <= last, (gamma + 1) * t**gamma / float(last) ** (gamma + 1), 0.0)


def midpoints(last: int, per_step: int = 200) -> np.ndarray:
    return (np.arange(last * per_step) + 0.5) / per_step


@pytest.mark.parametrize("length", LENGTHS)
def test_the_length_is_the_standard_deviation_of_the_profile(length: float) -> None:
    t = midpoints(1000) / 1000
    p = profile(gamma_of(length), 1, t) / len(t)
    assert p.sum() == pytest.approx(1, rel=1e-4)
    deviation = np.sqrt((p * t**2).sum() - (p * t).sum() ** 2)
    assert deviation == pytest.approx(length, rel=1e-3)


def test_products_are_the_integrals_of_profiles() -> None:
    """Of equal and of other last steps, in both orders."""
    some = [(gamma_of(0.05), 30), (gamma_of(0.1), 50), (gamma_of(0.2), 50), (gamma_of(0.05), 80)]
    t = midpoints(80)
    by_hand = [[(profile(*a, t) * profile(*b, t)).sum() / 200 for b in some] for a in some]
    np.testing.assert_allclose(products(some, some), by_hand, rtol=1e-4)


def test_factors_are_the_least_squares_solution() -> None:
    """Profiles as long vectors, solved by numpy: the factors, and the error that is left."""
    snapshots = [(gamma_of(length), last) for last in (20, 40, 60, 80, 100) for length in (0.05, 0.1)]
    wanted, t = (gamma_of(0.08), 100), midpoints(100)
    found, error = factors(snapshots, wanted)
    columns, goal = np.stack([profile(*one, t) for one in snapshots], axis=1), profile(*wanted, t)
    expected, *_ = np.linalg.lstsq(columns, goal, rcond=None)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-3)
    assert error == pytest.approx(np.linalg.norm(goal - columns @ expected) / np.linalg.norm(goal), rel=0.02)
    residual = columns.T @ (goal - columns @ found)
    assert np.abs(residual).max() < 1e-3 * np.abs(columns.T @ goal).max()
    assert error < 0.03


def test_a_length_that_is_stored_is_its_own_snapshot() -> None:
    snapshots = [(gamma_of(length), last) for last in (50, 100) for length in (0.05, 0.1)]
    found, error = factors(snapshots, (gamma_of(0.1), 100))
    np.testing.assert_allclose(found, [0, 0, 0, 1], atol=1e-9)
    assert error < 1e-6


def walk(steps: int) -> torch.Tensor:
    """Weights [steps, 3, 5] that wander off."""
    return torch.randn(steps, 3, 5, generator=torch.Generator().manual_seed(0)).cumsum(0)


def tracked(path: torch.Tensor, lengths: tuple[float, ...], at: tuple[int, ...] = ()) -> tuple[PowerAverages, list[torch.Tensor]]:
    """Averages of a path of weights, and copies of them after the steps `at`."""
    model, averages, kept = torch.nn.Linear(5, 3, bias=False), PowerAverages(lengths), []
    for step, weight in enumerate(path, 1):
        model.weight.data.copy_(weight)
        averages.update(model, step)
        if step in at:
            kept += [each["weight"].clone() for each in averages.weights]
    return averages, kept


def test_weights_count_as_the_power_of_their_step() -> None:
    """The product of all (1 - 1 / t)^(gamma + 1) that come after, by hand in float64."""
    steps, length = 40, 0.1
    path, gamma = walk(steps), gamma_of(length)
    shares = np.array([1 - (1 - 1 / t) ** (gamma + 1) for t in range(1, steps + 1)])
    shares *= np.array([np.prod([(1 - 1 / s) ** (gamma + 1) for s in range(t + 1, steps + 1)]) for t in range(1, steps + 1)])
    assert shares.sum() == pytest.approx(1)
    expected = np.tensordot(shares, path.double().numpy(), 1)
    averages, _ = tracked(path, (length,))
    np.testing.assert_allclose(averages.weights[0]["weight"].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_all_weights_at_once_are_each_weight_alone_bit_for_bit() -> None:
    torch.manual_seed(0)
    model, averages = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 300)), PowerAverages(LENGTHS)
    expected: list[dict[str, torch.Tensor]] = [{} for _ in LENGTHS]
    for step in range(1, 20):
        for weight in model.parameters():
            weight.data.add_(torch.randn_like(weight))
        averages.update(model, step)
        for gamma, each in zip(averages.gammas, expected, strict=True):
            for name, weight in model.named_parameters():
                each[name] = each.get(name, weight.detach()).lerp(weight.detach(), 1 - (1 - 1 / step) ** (gamma + 1))
    for found, each in zip(averages.weights, expected, strict=True):
        assert all(torch.equal(found[name], value) for name, value in each.items())


@pytest.mark.parametrize("length", [0.04, 0.08, 0.12, 0.2])
def test_a_rebuilt_average_is_close_to_one_that_was_kept_track_of(length: float) -> None:
    """Within a few hundredths of what apart two stored lengths are."""
    steps, at = 1000, tuple(range(50, 1001, 50))
    path = walk(steps)
    stored, kept = tracked(path, (0.05, 0.1), at)
    direct = tracked(path, (length,))[0].weights[0]["weight"]
    found, error = factors([(gamma, last) for last in at for gamma in stored.gammas], (gamma_of(length), steps))
    rebuilt = sum(float(x) * weight for x, weight in zip(found, kept, strict=True))
    apart = (stored.weights[0]["weight"] - stored.weights[1]["weight"]).norm()
    assert error < 0.05
    assert float((rebuilt - direct).norm() / apart) < 0.05
