"""Imports that can fail or end the whole interpreter: `doctor` runs this file in a process of its own.

Prints one line of JSON a step, `["name", {...}]`; a step that fails holds "error", a step that kills has no line.
"""

import importlib
import json
from collections.abc import Callable
from typing import Any


def torch_device() -> dict[str, Any]:
    import torch

    from snac_plugin.device import pick_device, pick_precision

    device = pick_device()
    shown = f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        shown = f"cuda ({torch.cuda.get_device_name(device)}, {memory:.0f} GiB)"
    return {"device": shown, "precision": pick_precision(device)}


def plain_import() -> dict[str, Any]:
    """Whether stable-audio-tools knows the plugin's types when it is imported with nothing else done."""
    factory = importlib.import_module("stable_audio_tools.models.factory")
    return {"registered": hasattr(factory.create_model_from_config, "wrapped_by_snac_plugin")}


STEPS: dict[str, Callable[[], dict[str, Any]] | str] = {
    "torch": torch_device,
    "torchaudio": "torchaudio",
    "soundfile": "soundfile",
    "snac": "snac",
    "plugin": plain_import,
    "stable_audio_tools": "stable_audio_tools.training.diffusion",
    "gradio": "gradio",
}
"""By name, a function, or a module to import."""


def main() -> None:
    for name, step in STEPS.items():
        result: dict[str, Any] = {}
        try:
            if isinstance(step, str):
                importlib.import_module(step)
            else:
                result = step()
        except BaseException as error:
            result = {"error": f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]}
        print("\n" + json.dumps([name, result]), flush=True)


if __name__ == "__main__":
    main()
