"""Segments of the transformer's sequence, and which of them sees which.

A segment is a run of tokens with one (role, chunk, level). Visibility is a property of segments, never of single
tokens, so attention runs a few dense calls instead of one masked call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import groupby

# Per level: (finished levels of the same chunk it sees, levels of earlier chunks it sees).
VisibilityTable = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


class Role(Enum):
    """What a segment's tokens are: conditioning put in front, finished codes, or codes under noise."""

    PREPENDED = "prepended"
    CLEAN = "clean"
    NOISED = "noised"


@dataclass(frozen=True)
class Segment:
    """A run of `length` tokens. Chunk and level of prepended tokens are -1."""

    role: Role
    chunk: int
    level: int
    length: int


@dataclass(frozen=True)
class Visibility:
    """Who sees whom.

    Args:
        table: per level, the finished levels of its own chunk and the levels of earlier chunks it sees.
        context_chunks: how many earlier chunks are seen.
    """

    table: VisibilityTable
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
        if key.chunk == query.chunk:
            return key.level in within or (query.role is Role.CLEAN and key.level == query.level)
        return 0 < query.chunk - key.chunk <= self.context_chunks and key.level in context


@dataclass(frozen=True)
class AttentionCall:
    """One dense attention: a run of query segments and the segments whose keys they all see, by index."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The segments of a sequence in order, and the attention calls over them."""

    segments: tuple[Segment, ...]
    calls: tuple[AttentionCall, ...]

    @property
    def lengths(self) -> list[int]:
        return [segment.length for segment in self.segments]

    def indices(self, role: Role) -> list[int]:
        return [i for i, segment in enumerate(self.segments) if segment.role is role]


def attention_calls(queries: Sequence[Segment], keys: Sequence[Segment], visibility: Visibility) -> tuple[AttentionCall, ...]:
    """Calls that cover all queries in order; neighbours with one visible set share a call."""
    seen = [tuple(j for j, key in enumerate(keys) if visibility.sees(query, key)) for query in queries]
    return tuple(AttentionCall(tuple(run), visible) for visible, run in groupby(range(len(queries)), key=seen.__getitem__))


@lru_cache(maxsize=64)
def training_layout(
    chunk_lengths: tuple[tuple[int, ...], ...],
    visibility: Visibility,
    prepended: int = 0,
    context: int = 0,
    stages: tuple[int, ...] | None = None,
) -> Layout:
    """One sequence that trains every stage: clean segments of all chunks, then a noised segment a stage.

    Clean segments that no stage depends on (the finest level of the last chunk, say) are left out.

    Args:
        chunk_lengths: per chunk, the number of codes of each level.
        visibility: who sees whom.
        prepended: number of prepended tokens.
        context: how many of the first chunks are context only, and not to be denoised.
        stages: levels to denoise; all by default.
    """
    clean = [Segment(Role.CLEAN, c, level, n) for c, row in enumerate(chunk_lengths) for level, n in enumerate(row)]
    noised = [
        Segment(Role.NOISED, s.chunk, s.level, s.length)
        for s in clean
        if s.chunk >= context and (stages is None or s.level in stages)
    ]
    front = [Segment(Role.PREPENDED, -1, -1, prepended)] if prepended else []
    needed, frontier = set(), list(noised)
    while frontier:
        query = frontier.pop()
        found = {key for key in clean if key not in needed and visibility.sees(query, key)}
        needed |= found
        frontier.extend(found)
    segments = (*front, *(s for s in clean if s in needed), *noised)
    return Layout(segments, attention_calls(segments, segments, visibility))
