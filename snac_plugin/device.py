"""Where to compute, and in which precision, when nobody says."""

import torch

from snac_plugin.errors import InstallationError


def pick_device(name: str | None = None) -> torch.device:
    """The device of that name, or the best one here: CUDA, then Apple's MPS, then the CPU.

    Raises:
        InstallationError: a device that this machine or this PyTorch does not have.
    """
    if name is None:
        return torch.device(_available()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InstallationError("device", repr(name), f"one of {', '.join(_available())}") from None
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type not in _available() or (device.index or 0) >= count:
        advice = "python -m snac_plugin doctor says what is installed."
        raise InstallationError("device", repr(name), f"one of {', '.join(_available())}, which are available here", advice)
    return device


def pick_precision(device: torch.device) -> str:
    """Lightning's name of the precision to train in: bfloat16 where the device multiplies it faster than float32."""
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported() else "32-true"


def _available() -> list[str]:
    """Types of device, best first."""
    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]
