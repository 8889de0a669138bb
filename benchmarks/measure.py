"""What all benchmarks share: arguments, the device and its precision, the machine they ran on, tables and reports."""

import argparse
import contextlib
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from snac_plugin.cli.memory import reuse_freed_memory
from snac_plugin.config import NetworkConfig
from snac_plugin.device import pick_device, pick_precision
from snac_plugin.errors import SnacPluginError


def precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The precision in which benchmarks generate and compare on a device: that of training on a GPU, else float32."""
    return training_precision(device) if device.type == "cuda" else contextlib.nullcontext()


def training_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The precision that train.py picks for a device."""
    picked = pick_precision(device)
    if picked == "32-true":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if picked == "bf16-mixed" else torch.float16)


def parser(doc: str | None, repeats: int | None = None) -> argparse.ArgumentParser:
    """Arguments of all benchmarks; the help begins with the script's own docstring."""
    made = argparse.ArgumentParser(description=doc, formatter_class=_Help)
    made.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder for the tables")
    made.add_argument("--threads", type=int, default=2, help="CPU threads")
    made.add_argument("--device", help="cuda, cuda:1, mps or cpu; the best one here by default")
    made.add_argument("--seed", type=int, default=0, help="of weights, codes and noise")
    if repeats is not None:
        made.add_argument("--repeats", type=int, default=repeats, help="timed runs of each side; the median counts")
        made.add_argument("--retries", type=int, default=2, help="how often a run that others disturbed is repeated")
    return made


def add_network_arguments(made: argparse.ArgumentParser, batch_size: int) -> None:
    """Arguments on the size of a network with random weights."""
    made.add_argument("--dim", type=int, default=256, help="width of the network")
    made.add_argument("--depth", type=int, default=6, help="blocks")
    made.add_argument("--heads", type=int, default=4, help="attention heads")
    made.add_argument("--head", default="logits", choices=("velocity", "logits", "posterior"), help="what the network predicts")
    made.add_argument("--batch-size", type=int, default=batch_size, help="samples at once")
    made.add_argument("--chunk-frames", type=int, default=64, help="frames of a chunk; 64 are 6.144 s")


def network_config(args: argparse.Namespace, context_chunks: int, **options: Any) -> NetworkConfig:
    """The network that these arguments describe, with other `options` of its config."""
    size = {"dim": args.dim, "depth": args.depth, "num_heads": args.heads, "head": args.head}
    return NetworkConfig(**size, chunk_frames=args.chunk_frames, context_chunks=context_chunks, **options)


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


def start(args: argparse.Namespace) -> torch.device:
    """Set threads and seed, and memory as train.py and generate.py do; returns the device."""
    reuse_freed_memory()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    return pick_device(args.device)


def told(main: Callable[..., None], *args: Any) -> None:
    """Run a benchmark; an error that a user can mend is one sentence, as of the commands."""
    try:
        main(*args)
    except SnacPluginError as error:
        sys.exit(f"error: {error}")


def machine(device: torch.device) -> str:
    """One line on what the figures were measured on."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_processor()}, {torch.get_num_threads()} threads"
    return f"{where}; PyTorch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with three significant digits."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def report(args: argparse.Namespace, device: torch.device, name: str, paragraphs: Sequence[str], data: Mapping[str, Any]) -> None:
    """Print a report; write it to `name`.md in --out, and its figures with all settings and the machine to `name`.json."""
    about = {"settings": {key: str(value) for key, value in vars(args).items()}, "machine": machine(device)}
    text = "\n\n".join(paragraphs)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (args.out / f"{name}.json").write_text(json.dumps({**about, **data}, indent=1) + "\n", encoding="utf-8")
    print(text, flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
