"""Seconds of recordings as their samples, and which recordings fit. Imports nothing heavy: a header is enough to check them."""

import math
from collections.abc import Iterable, Sequence

from snac_plugin.errors import UsageError


def samples_at(size: int, rate: int, other: int) -> int:
    """So many samples at one rate as samples at another: as many as resampling gives."""
    return math.ceil(size * other / rate)


def spans_of(seconds: Iterable[tuple[float, float]], rate: int, size: int) -> tuple[tuple[int, int], ...]:
    """Spans of samples in a recording of `size` of them, those that touch joined; UsageError for seconds outside of it."""
    spans: list[tuple[int, int]] = []
    for start, stop in sorted((round(first * rate), round(last * rate)) for first, last in seconds):
        if start >= min(stop, size) or stop > size + 1:
            found = f"{start / rate:.3f} to {stop / rate:.3f} s in a recording of {size / rate:.3f} s"
            raise UsageError("repaint", found, "seconds within it")
        if spans and start <= spans[-1][1]:
            start, earlier = spans.pop()
            stop = max(stop, earlier)
        spans.append((start, min(stop, size)))
    return tuple(spans)


def samples_until(second: float, rate: int, size: int) -> int:
    """Samples up to a second of a recording of `size` of them; UsageError if it is shorter."""
    if not 0 < round(second * rate) <= size:
        raise UsageError("from_second", second, f"a second of the recording, which has {size / rate:.3f} s")
    return round(second * rate)


def check_ends(ends: Sequence[tuple[int, int]]) -> None:
    """UsageError for recordings, (rate, channels) each, that cannot be bridged."""
    if len({*ends}) > 1:
        found = ", then ".join(f"{rate} Hz with channels: {channels}" for rate, channels in ends)
        advice = "Resample or mix down one of them first, as ffmpeg -i IN -ar RATE -ac CHANNELS OUT does."
        raise UsageError("bridge", found, "two recordings of one rate and number of channels", advice)
