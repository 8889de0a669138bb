"""Unmasking against a slow, obvious sampler, and by denoisers whose answer is known; exact numbers in each step."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from snac_plugin.diffusion.objectives import OBJECTIVES, is_masked
from snac_plugin.diffusion.sampler_names import BY_CONFIDENCE, EVENLY, MASKED_SAMPLERS
from snac_plugin.diffusion.samplers import codes_at, likely
from snac_plugin.diffusion.unmasking import Unmasking, first_of, halton_order, masked_counts, unmask

CODES, SIZE, BATCH = 20, 16, 3
BOOK = torch.randn(CODES, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def generators(seed: int = 0, count: int = BATCH) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def order(seed: int = 2) -> Tensor:
    noise = torch.randn(BATCH, SIZE, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return OBJECTIVES["masked"].own_noise(noise)[..., 0]


def follows_its_input(x: Tensor, t: Tensor) -> Tensor:
    """Log-probabilities that depend on every code and on t."""
    mixed = x @ BOOK.T + x.mean(dim=1, keepdim=True) @ BOOK.T.flip(1) + torch.sin(torch.arange(SIZE))[:, None] * t[:, None, None]
    return mixed.log_softmax(dim=-1)


def codes_of(x: Tensor) -> Tensor:
    """Codes of vectors [B, N], -1 where one is masked."""
    return torch.where(is_masked(x), -1, torch.cdist(x, BOOK).argmin(dim=-1))


def states(how: Unmasking, log_probabilities: Any = follows_its_input, x: Tensor | None = None) -> list[Tensor]:
    """What the network sees in each step, and the result, as codes."""
    seen = []

    def spy(x: Tensor, t: Tensor) -> Tensor:
        seen.append(codes_of(x))
        torch.testing.assert_close(t, is_masked(x).double().mean(dim=1), rtol=0, atol=1e-6)
        return log_probabilities(x, t)

    x = torch.zeros(BATCH, SIZE, 8, dtype=torch.float64) if x is None else x
    result = codes_of(unmask(spy, BOOK, x, order(), generators(), how))
    return [*seen, result]


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("total", "steps"), [(16, 4), (16, 16), (5, 12), (512, 24), (1, 3), (64, 1), (0, 4)])
def test_counts_fall_to_nothing_by_at_least_one_a_step(total: int, steps: int, shift: float) -> None:
    left = masked_counts(total, steps, shift)
    assert (left[0], left[-1], len(left)) == (total, 0, steps + 1)
    assert all(b < a or a == b == 0 for a, b in itertools.pairwise(left))
    if shift == 1 and total == 512:
        assert left == [math.floor(512 * math.cos(math.pi / 2 * i / 24) + 1e-9) for i in range(25)]


def test_first_places_of_haltons_order_lie_evenly() -> None:
    assert halton_order(8).argsort().tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    for count in (1, 2, 12, 100):
        places = halton_order(count).argsort()
        assert sorted(places.tolist()) == list(range(count))
        for first in (4, 8, 16):
            if first <= count / 2:
                gaps = places[:first].sort().values.diff()
                assert gaps.max() <= 2 * gaps.min() + 1


def test_the_first_by_priority_are_as_many_as_asked_for() -> None:
    priority = torch.tensor([[3.0, -torch.inf, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    among = torch.tensor([[False, True, True, True], [True, True, False, False]])
    assert first_of(priority, among, torch.tensor([3, 1])).tolist() == [[False, True, True, True], [True, False, False, False]]
    assert first_of(priority, among, torch.tensor([1, 0])).tolist() == [[False, False, False, True], [False] * 4]


@pytest.mark.parametrize("remask", [0.0, 0.3])
@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
def test_each_item_has_the_exact_number_of_masked_codes(sampler: str, remask: float) -> None:
    """Counts that hold for the batch alone leave some items with nothing to go on; here one starts with fewer masked codes."""
    x = torch.zeros(BATCH, SIZE, 8, dtype=torch.float64)
    x[1, :9] = BOOK[:9]
    seen = states(Unmasking(sampler, 6, remask=remask), x=x)
    left = torch.stack([(codes == -1).sum(dim=1) for codes in seen], dim=1)
    assert left.tolist() == [masked_counts(total, 6) for total in (SIZE, SIZE - 9, SIZE)]
    for codes in seen:
        assert torch.equal(codes[1, :9], torch.arange(9))  # what was not masked is never masked


@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
def test_a_code_that_was_kept_changes_only_when_it_is_masked_again(sampler: str) -> None:
    for remask in (0.0, 0.4):
        seen, again = states(Unmasking(sampler, 8, remask=remask)), 0
        for before, after in itertools.pairwise(seen):
            kept = before != -1
            assert torch.equal(after[kept & (after != -1)], before[kept & (after != -1)])
            hidden = (kept & (after == -1)).sum(dim=1)
            assert torch.equal(hidden, torch.minimum((remask * kept.sum(dim=1)).round().long(), (after == -1).sum(dim=1)))
            again += int(hidden.sum())
        assert bool(again) == bool(remask)


@pytest.mark.parametrize("remask", [0.0, 0.5])
@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
def test_a_denoiser_that_knows_its_sequence_gives_it_back(sampler: str, remask: float) -> None:
    answer = torch.randint(CODES, (BATCH, SIZE), generator=torch.Generator().manual_seed(5))
    sure = 60.0 * torch.nn.functional.one_hot(answer, CODES).double()
    assert torch.equal(states(Unmasking(sampler, 5, remask=remask), lambda x, t: sure)[-1], answer)


def slowly(how: Unmasking, generator: torch.Generator, item: int) -> list[int]:
    """One item, code by code, as the docstring of `unmask` says it."""
    codes: list[int] = [-1] * SIZE
    own_order, roll = order()[item].tolist(), 0
    if how.sampler == EVENLY:
        roll = int(torch.randint(SIZE, (), generator=generator))
    for step in range(how.steps):
        masked = [i for i in range(SIZE) if codes[i] == -1]
        if not masked:
            break
        chance = torch.rand(3, SIZE, generator=generator, dtype=torch.float64)
        x = torch.stack([BOOK[code] if code >= 0 else torch.zeros(8, dtype=torch.float64) for code in codes])
        scores = follows_its_input(x[None], torch.tensor([len(masked) / SIZE], dtype=torch.float64))[0]
        drawn, rank = {}, {}
        for i in masked:
            shares = (scores[i] / how.temperature).exp()
            shares = shares / shares.sum()
            most_first, reached = sorted(range(CODES), key=lambda k: -float(shares[k])), 0.0
            for k in most_first:
                reached, shares[k] = reached + float(shares[k]), shares[k] if reached < how.top_p else 0.0
            shares = shares / shares.sum()
            drawn[i] = next(k for k in range(CODES) if shares[: k + 1].sum() > chance[0, i])
            gumbel = -math.log(-math.log(float(chance[1, i])))
            likely = float(scores[i, drawn[i]]) + how.confidence_noise * (1 - (step + 1) / how.steps) * gumbel
            halton = int(f"{(i - roll) % SIZE:04b}"[::-1], 2)
            rank[i] = {BY_CONFIDENCE: -likely, EVENLY: halton}.get(how.sampler, own_order[i])
        left = masked_counts(SIZE, how.steps, how.shift)[step + 1]
        finished = [i for i in range(SIZE) if codes[i] != -1]
        hidden = sorted(finished, key=lambda i: -float(chance[2, i]))[: min(round(how.remask * len(finished)), left)]
        for i in sorted(masked, key=lambda i: rank[i])[: len(masked) - left + len(hidden)]:
            codes[i] = drawn[i]
        for i in hidden:
            codes[i] = -1
    return codes


@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
@pytest.mark.parametrize(
    "options", [{}, {"remask": 0.35}, {"temperature": 0.5, "shift": 2.0, "confidence_noise": 1.0}, {"top_p": 0.6}], ids=str
)
def test_it_is_the_slow_sampler_item_by_item(sampler: str, options: dict[str, float]) -> None:
    how = Unmasking(sampler, 7, **options)
    found = states(how)[-1]
    assert found.tolist() == [slowly(how, generator, item) for item, generator in enumerate(generators())]
    assert len({tuple(row) for row in found.tolist()}) == BATCH


def test_the_likeliest_codes_that_reach_the_probability_stay() -> None:
    """The one that reaches it is among them, and one always is."""
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25], dtype=torch.float64).log().expand(1, 1, -1)
    for top_p, kept in ((1.0, [0, 1, 2, 3]), (0.95, [0, 1, 2, 3]), (0.89, [1, 2, 3]), (0.74, [1, 3]), (0.3, [1]), (1e-9, [1])):
        found = likely(logits, top_p)[0, 0]
        assert found.isfinite().nonzero().flatten().tolist() == kept
        assert torch.equal(found[kept], logits[0, 0, kept])


def test_without_chance_the_likeliest_draws_are_kept() -> None:
    """One code a step: each is the surest of its step."""

    def sharper_to_the_left(x: Tensor, t: Tensor) -> Tensor:
        return (torch.arange(SIZE, 0, -1)[:, None] * torch.eye(CODES, dtype=torch.float64)[0]).expand(BATCH, -1, -1).log_softmax(-1)

    seen = states(Unmasking(BY_CONFIDENCE, SIZE, temperature=0.01, confidence_noise=0.0), sharper_to_the_left)
    for step, codes in enumerate(seen):
        assert torch.equal(codes, torch.where(torch.arange(SIZE) < step, 0, -1).expand(BATCH, -1))


def test_codes_are_drawn_in_float64_whatever_the_network_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 the tail of 4,096 codes is rounded away: rare codes would come too often or never."""
    shares = torch.full((4096,), 1e-9, dtype=torch.float64)
    shares[0] = 1 - 4095e-9
    quantiles = torch.tensor([[1 - 3999.5e-9, 1 - 2000.5e-9, 1 - 0.5e-9]], dtype=torch.float64)
    assert codes_at(quantiles, shares.log().expand(1, 3, -1)).tolist() == [[96, 2095, 4095]]
    kinds = set()

    def spy(quantiles: Tensor, logits: Tensor) -> Tensor:
        kinds.update((quantiles.dtype, logits.dtype))
        return codes_at(quantiles, logits)

    monkeypatch.setattr("snac_plugin.diffusion.unmasking.codes_at", spy)
    x = unmask(
        lambda x, t: follows_its_input(x.double(), t).float(),
        BOOK.float(),
        torch.zeros(BATCH, SIZE, 8),
        order(),
        generators(),
        Unmasking(BY_CONFIDENCE, 3),
    )
    assert (kinds, x.dtype) == ({torch.float64}, torch.float32)
