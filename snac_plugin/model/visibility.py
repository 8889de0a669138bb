"""Which tokens see which: a rule over segments. It treats the tokens of a segment alike, so attention is a few dense calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby


class Role(Enum):
    """Conditioning put in front, codes of known frames, finished codes, or codes under noise."""

    PREPENDED = "prepended"
    KNOWN = "known"
    CLEAN = "clean"
    NOISED = "noised"


@dataclass(frozen=True)
class Segment:
    """A run of `length` tokens. Chunk and level of prepended tokens are -1.

    Of a chunk with known frames, `frames` numbers those that a segment holds, from the chunk's start; known ones may lie in the
    chunk after. None: all frames of the chunk, in order.
    """

    role: Role
    chunk: int
    level: int
    length: int
    frames: tuple[int, ...] | None = None


@dataclass(frozen=True)
class VisibilityRule:
    """Which segments a segment attends to."""

    # For each level, the finished levels of its own chunk, and the levels of earlier chunks and known frames that it sees.
    table: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    context_chunks: int

    def sees(self, query: Segment, key: Segment) -> bool:
        """Whether every token of `query` attends to every token of `key`."""
        if key.role is Role.PREPENDED:
            return True
        if query.role is Role.PREPENDED:
            return False
        if key.role is Role.NOISED:
            return key == query
        within, context = self.table[query.level]
        if key.role is Role.KNOWN:  # what is not known reaches them not, so that they are computed once
            itself = query.role is Role.KNOWN and key.level == query.level
            return key.chunk == query.chunk and query.frames is not None and (key.level in context or itself)
        if key.chunk == query.chunk:
            finished = key.level in within or (query.role is Role.CLEAN and key.level == query.level)
            return finished and key.frames == query.frames and query.role is not Role.KNOWN
        earlier = key.frames is None and 0 < query.chunk - key.chunk <= self.context_chunks
        return earlier and key.level in context


@dataclass(frozen=True)
class AttentionCall:
    """One dense attention: a run of query segments and the segments whose keys they all see, by index."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]


def attention_calls(queries: Sequence[Segment], keys: Sequence[Segment], rule: VisibilityRule) -> tuple[AttentionCall, ...]:
    """Calls that cover all queries in order; neighbours that see the same segments share a call."""
    seen = [tuple(j for j, key in enumerate(keys) if rule.sees(query, key)) for query in queries]
    return tuple(AttentionCall(tuple(run), visible) for visible, run in groupby(range(len(queries)), key=seen.__getitem__))
