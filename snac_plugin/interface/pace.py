"""How far a request is, and how long it still takes: by steps that this server measured, those of each level for themselves."""

import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from snac_plugin.interface.runs import Progress, Tell, duration

LASTING = 40
"""Steps after which a measurement counts half."""
BETWEEN, END, FILES = "between chunks", "end", "files"
"""What is measured besides steps: from the last step of a chunk to the first of the next; until all audio is there, of so many
chunks, as edits are decoded at their end; and until files and pictures are written."""


class Pace:
    """Seconds that the parts of one kind of request take, as they did lately."""

    def __init__(self) -> None:
        self._measured: dict[Hashable, tuple[float, float]] = {}  # seconds in all, and of how many

    def measured(self, part: Hashable, seconds: float) -> None:
        total, count = self._measured.get(part, (0.0, 0.0))
        fade = 0.5 if count >= LASTING else 1.0
        self._measured[part] = fade * total + seconds, fade * count + 1

    def of(self, parts: Mapping[Any, int]) -> float | None:
        """Seconds of so many of each part; None if one was never measured."""
        if not all(part in self._measured for part in parts):
            return None
        return sum(times * self._measured[part][0] / self._measured[part][1] for part, times in parts.items())

    def quicker(self, part: tuple[int, int]) -> tuple[int, int]:
        """The part itself, or the step of that level that was measured and sees the most chunks below it, which is quicker."""
        level, seen = part
        return next(((level, fewer) for fewer in range(seen, -1, -1) if (level, fewer) in self._measured), part)


class Reporter:
    """Tells the page of each denoising step; a callback of generation.

    Args:
        tell: takes the progress.
        names: of the levels.
        steps: of each level, 0 where it is kept.
        chunks: how many there are, as far as it is known.
        context: chunks before its own that a chunk sees at most: the more it sees, the slower are its steps.
        pace: of requests like this one.
    """

    def __init__(self, tell: Tell, names: str, steps: Sequence[int], chunks: int, context: int, pace: Pace) -> None:
        self._tell, self._names, self._steps, self._chunks, self._context = tell, names, steps, chunks, context
        self._pace, self._last = pace, (-1, 0.0)  # chunk of the last step, and when it was done
        self._first = next((level for level, count in enumerate(steps) if count), 0)

    def __call__(self, chunk: int, level: int, step: int) -> None:
        now, (before, then) = time.perf_counter(), self._last
        if before >= 0:
            self._pace.measured(BETWEEN if chunk > before else self._part(chunk, level), now - then)
        self._last = chunk, now
        total = max(self._chunks, chunk + 1)  # a header may say too little
        place = f"chunk {chunk + 1} of {total}, " if total > 1 else ""
        done = chunk * sum(self._steps) + sum(self._steps[:level]) + step + 1
        share, parts = done / (total * sum(self._steps)), self._parts_left(chunk, level, step, total)
        left, least = self._seconds_left(chunk, parts, total), self._pace.of(self._quicker(parts))
        what = f"level {self._names[level]}, step {step + 1} of {self._steps[level]}"
        text = place + ("decoding to audio" if done == (chunk + 1) * sum(self._steps) else what)
        self._tell(Progress(share, text[0].upper() + text[1:] + self._said(left, least, total, share == 1), left))

    def _said(self, left: float | None, least: float | None, total: int, stepped: bool) -> str:
        """The time left in words; of what follows the steps it says nothing until that was measured."""
        if left is None and least is not None and least >= 1:
            return f" · more than {duration(least)} left"
        if left is None or left < 1:
            return ""
        if self._pace.of({(END, total): 1, FILES: 1}) is None:
            return "" if stepped else f" · about {duration(left)} of steps left"
        return f" · about {duration(left + (self._pace.of({FILES: 1}) or 0.0))} left"

    def finished(self) -> None:
        """All audio is there."""
        chunk, then = self._last
        left = self._pace.of({FILES: 1})
        more = f" · about {duration(left)} left" if left is not None and left >= 1 else ""
        now = time.perf_counter()
        if chunk + 1 >= self._chunks:  # it was not stopped
            self._pace.measured((END, chunk + 1), now - then)
        self._last = chunk, now
        self._tell(Progress(1.0, f"Writing files, drawing the picture{more}"))

    def written(self) -> None:
        """All files are there."""
        self._pace.measured(FILES, time.perf_counter() - self._last[1])

    def _part(self, chunk: int, level: int) -> tuple[int, int]:
        return level, min(chunk, self._context)

    def _quicker(self, parts: Mapping[tuple[int, int], int]) -> Counter[tuple[int, int]]:
        """Steps that were measured in the place of those that see more chunks and were not."""
        found: Counter[tuple[int, int]] = Counter()
        for part, times in parts.items():
            found[self._pace.quicker(part)] += times
        return found

    def _parts_left(self, chunk: int, level: int, step: int, total: int) -> Counter[tuple[int, int]]:
        """Steps that are still to do."""
        parts: Counter[tuple[int, int]] = Counter()
        for one, count in enumerate(self._steps):
            parts[self._part(chunk, one)] += 0 if one < level else count - step - 1 if one == level else count
            for later in range(chunk + 1, total):  # the first step of a chunk ends what lies between
                parts[self._part(later, one)] += count - (one == self._first)
        return +parts

    def _seconds_left(self, chunk: int, parts: Mapping[tuple[int, int], int], total: int) -> float | None:
        """Of these steps, and until all audio is there; what lies between chunks counts nothing until it was measured."""
        between = self._pace.of({BETWEEN: 1}) or 0.0
        end, steps = self._pace.of({(END, total): 1}), self._pace.of(parts)
        return None if steps is None else steps + (total - chunk - 1) * between + (between if end is None else end)
