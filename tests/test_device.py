"""Device and precision when nobody names them."""

import pytest
import torch

from snac_plugin.device import pick_device, pick_precision
from snac_plugin.errors import InstallationError


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_best_device_is_picked(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, best: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device().type == best
    assert pick_device("cpu").type == "cpu"


def test_a_device_that_is_not_here_is_named_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    for name in ("cuda:2", "mps", "abacus"):
        with pytest.raises(InstallationError, match=f"'{name}', expected one of cuda, cpu"):
            pick_device(name)


@pytest.mark.parametrize(
    ("device", "bf16", "precision"),
    [
        ("cuda", True, "bf16-mixed"),
        ("cuda", False, "16-mixed"),
        ("mps", True, "32-true"),
        ("cpu", True, "bf16-mixed"),
        ("cpu", False, "32-true"),
    ],
)
def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch, device: str, bf16: bool, precision: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    assert pick_precision(torch.device(device)) == precision
