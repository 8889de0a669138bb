"""How an evaluation is done: an option is one field here and one flag of `evaluate.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snac_plugin.generation.request import Request


@dataclass(frozen=True, kw_only=True)
class Options:
    """How something is evaluated.

    Args:
        clips: most clips of a folder.
        seconds: length of a clip, 64 frames by default; of a model it follows from its chunks.
        seed: of clips, noise, decoders, generation and bootstrap.
        batch: clips at once.
        progress: show bars.
        chunks: of a model, new chunks of a continuation.
        request: of a model, how it generates, with the metadata of all clips.
        free: of a model, generate without context too.
    """

    clips: int = 32
    seconds: float | None = None
    seed: int = 0
    batch: int = 8
    progress: bool = True
    chunks: int = 1
    request: Request = field(default_factory=Request)
    free: bool = True

    @property
    def conditioning(self) -> Mapping[str, Any]:
        """Metadata of all clips."""
        metadata = self.request.conditioning
        assert metadata is None or isinstance(metadata, Mapping)
        return metadata or {}
