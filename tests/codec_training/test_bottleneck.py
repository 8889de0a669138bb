"""The quantiser in training: codebooks that live, are measured, and go on after a stop as if there had been none."""

import math
from typing import Any

import pytest
import torch

from snac_plugin.codec_training.bottleneck import SnacBottleneck, broadcast_from_first
from snac_plugin.codec_training.codebooks import perplexity
from snac_plugin.errors import Mismatch


def bottleneck(**options: Any) -> SnacBottleneck:
    torch.manual_seed(0)
    return SnacBottleneck(16, 32, 8, (4, 2, 1), **options).train()


def latents(frames: int = 64) -> torch.Tensor:
    return torch.randn(2, 16, 4 * frames, generator=torch.Generator().manual_seed(0))


def test_dead_codes_revive_while_gradients_flow_and_rest_without() -> None:
    """32 codes at one place: the first takes all, and without revival the others would never be chosen."""
    part = bottleneck(codebook_starts=())
    with torch.no_grad():
        for level in part.quantizer.quantizers:
            level.codebook.weight.copy_(torch.eye(8)[:1].expand(32, 8))
    part.restart()
    part.encode(latents(), return_info=True)
    before = [float(spread) for _, spread in part.usage()]
    revived = sum(int(dead.sum()) for dead in part.revived)
    for _ in range(30):
        part.encode(latents(), return_info=True)
        revived += sum(int(dead.sum()) for dead in part.revived)
    after = [float(spread) for _, spread in part.usage()]
    assert before == pytest.approx([1, 1, 1])
    assert revived >= 3 * 31
    assert min(after) > 20
    held = {name: value.clone() for name, value in part.state_dict().items()}
    with torch.no_grad():
        part.encode(latents(), return_info=True)
    assert all(torch.equal(value, held[name]) for name, value in part.state_dict().items())


def test_frozen_codebooks_rest_while_the_encoder_learns() -> None:
    part = bottleneck(codebook_starts=())
    part.freeze()
    z = latents().requires_grad_()
    before = part.quantizer.quantizers[0].codebook.weight.clone()
    z_q, _ = part.encode(z, return_info=True)
    z_q.square().sum().backward()
    assert torch.equal(part.quantizer.quantizers[0].codebook.weight, before)
    assert z.grad is not None
    assert float(z.grad.abs().sum()) > 0


def test_codes_do_not_depend_on_the_precision_around() -> None:
    """Of 32 codes half precision confuses some; mixed-precision training would choose, and start, others than it exports."""
    plain, mixed = bottleneck(), bottleneck()
    plain.start(latents(), torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed.start(latents(), torch.Generator().manual_seed(0))
    assert all(book.pool.dtype == torch.float32 for book in mixed.books)
    assert all(torch.equal(value, mixed.state_dict()[name]) for name, value in plain.state_dict().items())
    with torch.no_grad():
        z_q, info = plain.encode(latents(256), return_info=True)
        with torch.autocast("cpu", torch.bfloat16):
            found, its_info = plain.encode(latents(256), return_info=True)
    assert torch.equal(its_info["codes"], info["codes"])
    assert torch.equal(found, z_q)


def test_a_start_gives_all_devices_what_the_first_has(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = bottleneck(), bottleneck()
    first.start(latents(), torch.Generator().manual_seed(0))
    sent = iter([*first.parameters(), *first.buffers()])

    def broadcast(tensor: torch.Tensor, source: int) -> None:
        assert source == 0
        assert tensor.is_contiguous()
        tensor.copy_(next(sent).detach())

    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    broadcast_from_first(other)
    assert not torch.equal(other.books[0].pool, first.books[0].pool)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    broadcast_from_first(other)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in first.state_dict().items())


def test_perplexity_of_known_codes() -> None:
    counts = torch.tensor([[4.0, 4, 4, 4], [8, 8, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(perplexity(counts), torch.tensor([4.0, 2.0, 1.0, 0.0]))
    skewed = perplexity(torch.tensor([3.0, 1.0]))
    assert float(skewed) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))


def test_usage_counts_what_was_chosen_lately() -> None:
    """Of eight directions in turn: eight codes used, perplexity eight, whatever the other 24 codes are."""
    part = SnacBottleneck(8, 32, 8, (1,), codebook_starts=(0,), start_vectors=8).train()
    with torch.no_grad():
        level = part.quantizer.quantizers[0]
        level.in_proj.weight, level.out_proj.weight = torch.eye(8)[..., None], torch.eye(8)[..., None]
        level.in_proj.bias.zero_()
    directions = torch.eye(8)[None].repeat(1, 1, 16)  # [1, channels, time]
    part.start(directions, torch.Generator().manual_seed(0))
    part.encode(directions, return_info=True)
    chosen = part.encode(directions, return_info=True)[1]["codes"].unique().numel()
    used, spread = part.usage()[0]
    assert chosen == 8
    assert float(used) * 32 == pytest.approx(8)
    assert float(spread) == pytest.approx(8, rel=1e-4)


def test_noise_stands_in_for_the_codebooks_until_they_start() -> None:
    part = bottleneck(codebook_starts=(2, 4))
    due = []
    for _ in range(5):
        if part.start_is_due:
            due.append(int(part.steps))
            part.start(latents(), torch.Generator().manual_seed(0))
        _, info = part.encode(latents(), return_info=True)
        assert ("codes" in info) == (int(part.steps) > 2)
    assert due == [2, 4]


def test_a_resumed_quantiser_goes_on_as_if_it_had_never_stopped() -> None:
    """Warm-up, starts, running means and the pool that dead codes revive from are all in the state dict."""
    whole = bottleneck(codebook_starts=(1,))
    other = bottleneck(codebook_starts=(1,))
    for step in range(6):
        if step == 1:
            whole.start(latents(), torch.Generator().manual_seed(0))
        if step == 4:
            other.load_state_dict(whole.state_dict())
        torch.manual_seed(step)
        whole.encode(latents() + step, return_info=True)
        if step >= 4:
            torch.manual_seed(step)
            assert not other.start_is_due
            other.encode(latents() + step, return_info=True)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in whole.state_dict().items())


def test_codes_that_come_trained_keep_their_lengths() -> None:
    """Published code vectors differ in length, and the decoder hears it; running means of directions must not flatten that."""
    part = bottleneck(codebook_starts=(), keep_lengths=True)
    level = part.quantizer.quantizers[0]
    with torch.no_grad():
        level.codebook.weight.mul_(torch.linspace(0.1, 3, 32)[:, None])
    part.restart()
    lengths = level.codebook.weight.norm(dim=1).clone()
    before = level.codebook.weight.clone()
    part.encode(latents(), return_info=True)
    alive = ~part.revived[0]
    torch.testing.assert_close(level.codebook.weight.norm(dim=1)[alive], lengths[alive])
    assert not torch.equal(level.codebook.weight, before)


def test_dropped_levels_are_not_heard() -> None:
    """With every example dropped to one to three levels the coarsest is always heard, the finest of a third."""
    part = bottleneck(codebook_starts=(), level_dropout=1.0)
    torch.manual_seed(0)
    counts = torch.stack([part._kept(torch.zeros(1000, 1)) for _ in range(3)]).flatten()  # type: ignore[misc]
    assert counts.unique().tolist() == [1, 2, 3]
    assert 0.28 < float((counts == 3).float().mean()) < 0.39
    assert bottleneck(codebook_starts=())._kept(torch.zeros(5, 1)) is None


def test_a_plain_number_draws_as_it_always_did() -> None:
    """Trainings that were begun with one go on with the same drops; it drops nothing once the codes rest."""
    part = bottleneck(codebook_starts=(), level_dropout=0.6)
    torch.manual_seed(5)
    kept = part._kept(torch.zeros(16, 1))
    assert kept is not None
    torch.manual_seed(5)
    dropped = torch.rand(16) < 0.6
    assert torch.equal(kept, torch.where(dropped, torch.randint(1, 4, (16,)), torch.tensor(3)))
    assert kept.tolist() == [3, 1, 3, 3, 3, 1, 1, 3, 3, 3, 3, 1, 3, 3, 3, 3]
    with torch.no_grad():
        before = torch.get_rng_state()
        resting = part.encode(latents())
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(resting, part.eval().encode(latents()))


def test_shares_of_dropped_levels_hold_in_each_batch() -> None:
    """Of few examples a step, none decoded from the coarsest level alone would teach it nothing."""
    part = bottleneck(codebook_starts=(), level_dropout=[0.5, 0.25])
    torch.manual_seed(0)
    for _ in range(20):
        kept = part._kept(torch.zeros(8, 1))
        assert kept is not None
        assert kept.bincount(minlength=4).tolist() == [0, 4, 2, 2]
    halves = bottleneck(codebook_starts=(), level_dropout=[0.5])._kept(torch.zeros(8, 1))
    assert halves is not None
    assert halves.bincount().tolist() == [0, 4, 0, 4]


def test_a_decoder_that_learns_alone_hears_fewer_levels_too() -> None:
    """Or it would forget, once encoder and codes rest, what the coarse levels alone sound like."""
    part = bottleneck(codebook_starts=(), level_dropout=[1.0])
    with torch.no_grad():
        coarse, info = part.encode(latents(), return_info=True)
        part.eval()
        whole, same = part.encode(latents(), return_info=True)
        level = part.quantizer.quantizers[0]
        first = part.levels.unpack(same["codes"])[0]
        expected = level.out_proj(level.decode_code(first)).repeat_interleave(level.stride, dim=-1)
    assert torch.equal(info["codes"], same["codes"])
    torch.testing.assert_close(coarse, expected)
    assert not torch.allclose(coarse, whole)


def test_a_length_that_frames_do_not_fill_is_named() -> None:
    with pytest.raises(Mismatch, match="latents: found length 6, expected a multiple of 4"):
        bottleneck().encode(torch.zeros(1, 16, 6))


@pytest.mark.parametrize(("codes", "given", "vectors"), [(64, None, 1024), (4096, None, 8192), (64, 50, 50)])
def test_few_codes_start_from_few_vectors(codes: int, given: int | None, vectors: int) -> None:
    """Each vector of the coarsest level is a frame of audio to read: 64 codes read 8,192 of them for a minute."""
    assert SnacBottleneck(16, codes, 8, (4, 2, 1), start_vectors=given).start_vectors == vectors
