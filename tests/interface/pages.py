"""Pages of small models, served for a test."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from gradio_client import Client
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

AUDIO, PICTURE, SEED, SETTINGS, FILES = range(5)


def build(folder: Path, conditioning: list[dict[str, Any]] | None = None, **network: Any) -> tuple[dict[str, Any], SnacDiffusion]:
    """Config and model; `network` as of `tiny_model_config`."""
    torch.manual_seed(0)
    config = tiny_model_config(write_tiny_codec(folder / "codec"), global_cond_dim=8 * len(conditioning or ()), **network)
    if conditioning:
        config["model"]["conditioning"] = {"configs": conditioning, "cond_dim": 8}
        config["model"]["diffusion"]["global_cond_ids"] = [entry["id"] for entry in conditioning]
        config["training"]["demo"]["demo_cond_from_batch"] = True
    return config, builders.model(config).eval().requires_grad_(False)


def client_of(url: str, **options: Any) -> Client:
    """A client that waits for a machine that is busy."""
    return Client(url, verbose=False, httpx_kwargs={"timeout": 60}, **options)


@contextlib.contextmanager
def served(page: gr.Blocks) -> Iterator[Client]:
    """Serve a page from a thread."""
    _, url, _ = page.queue().launch(prevent_thread_lock=True, quiet=True)
    try:
        yield client_of(url)
    finally:
        page.close(verbose=False)
