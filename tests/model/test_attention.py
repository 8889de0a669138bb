"""Attention on a CPU in bfloat16, which has a path of its own, against PyTorch's in float64."""

import pytest
import torch

from snac_plugin.model.attention import attention, fused_attention


@pytest.mark.parametrize("largest", [2**25, 100], ids=["plain", "fused"])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_bfloat16_is_attention(masked: bool, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, within what eight bits can say; a caller's autocast must change nothing."""
    monkeypatch.setattr("snac_plugin.model.attention.LARGEST_SCORES", largest)
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 16).bfloat16().requires_grad_() for n in (7, 11, 11))
    mask = (torch.rand(2, 1, 1, 11) > 0.4) | (torch.arange(11) == 0) if masked else None
    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    expected = fused_attention(*wide, attn_mask=mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attention(q, k, v, mask)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.03)
    expected.square().sum().backward()
    found.square().sum().backward()
    for x, reference in zip((q, k, v), wide, strict=True):
        torch.testing.assert_close(x.grad.double(), reference.grad, rtol=0.05, atol=0.15)
