"""How an evaluation is done: an option is one field here and one flag of `evaluate.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snac_plugin.generation.request import Request


@dataclass(frozen=True, kw_only=True)
class Options:
    clips: int = 32  # most clips of a folder
    seconds: float | None = None  # length of a clip, 64 frames by default; of a model it follows from its chunks
    seed: int = 0  # of clips, noise, decoders, generation and bootstrap
    batch: int = 8  # clips at once
    progress: bool = True  # show bars
    request: Request = field(default_factory=Request)  # how a model continues clips, one chunk by default
    free: bool = True  # generate without context too
    metadata: Sequence[Mapping[str, Any]] = ()  # conditions of each clip, where a model reads any; those of the request by default
    places: Sequence[tuple[float, float]] = ()  # where each clip begins in its song, and how long that is, in chunks

    @property
    def chunks(self) -> int:
        """New chunks of a continuation."""
        return self.request.chunks or 1

    @property
    def conditioning(self) -> Mapping[str, Any]:
        """Metadata of all clips."""
        metadata = self.request.conditioning
        assert metadata is None or isinstance(metadata, Mapping)
        return metadata or {}
