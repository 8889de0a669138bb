"""Which frames of a training window are known: the gaps that `training.infill` asks for."""

from collections.abc import Sequence

import torch

from snac_plugin.config.training_keys import InfillSection
from snac_plugin.model.training_pass import KnownFrames


def draw_gaps(infill: InfillSection, sizes: Sequence[int], context_chunks: int, generator: torch.Generator) -> KnownFrames:
    """For each chunk of `sizes` frames the numbers of its known frames; empty in a step without any.

    Without context the chunks become samples of their own, so they have one gap, and know nothing of each other.
    """
    if float(torch.rand(1, generator=generator)) >= infill.share:
        return ()
    if context_chunks == 0:
        known = _known(infill, sizes[0], 0, generator)
        kept = [tuple(frame for frame in known if frame < size) for size in sizes]
        return tuple(frames if len(frames) < size else () for frames, size in zip(kept, sizes, strict=True))
    return tuple(_known(infill, size, after, generator) for size, after in zip(sizes, [*sizes[1:], 0], strict=True))


def _spans(span: int, size: int, length: int, generator: torch.Generator) -> set[int]:
    """`length` frames of `size` in spans that begin anywhere (EzAudio's masks). They go on from the end at the beginning."""
    offset = int(torch.randint(size, (1,), generator=generator))
    places = torch.randperm(-(-size // span), generator=generator).tolist()
    frames = [frame for place in places for frame in range(place * span, min((place + 1) * span, size))]
    return {(frame + offset) % size for frame in frames[:length]}


def _known(infill: InfillSection, size: int, after: int, generator: torch.Generator) -> tuple[int, ...]:
    """Known frames of a chunk of `size` frames, and of the chunk after, which has `after`."""

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    weights = torch.tensor([*infill.gaps.values()], dtype=torch.float64)
    kind = [*infill.gaps][int(torch.multinomial(weights, 1, generator=generator))]
    shortest, longest = (min(max(round(share * size), 1), max(size - 1, 1)) for share in infill.length)
    length = between(shortest, longest)
    start = {"prefix": 0, "suffix": size - length, "middle": between(0, size - length)}.get(kind, 0)
    cuts = [0, size] if kind == "whole" else [start, start + length]
    if kind == "several":
        count = min(2 * between(2, 3), (size + 1) // 2 * 2)
        cuts = sorted(torch.randperm(size + 1, generator=generator)[:count].tolist())
    unknown = {frame for first, stop in zip(cuts[::2], cuts[1::2], strict=True) for frame in range(first, stop)}
    if kind == "spans":
        unknown = _spans(infill.span, size, length, generator)
    known = [frame for frame in range(size) if frame not in unknown]
    if after and (kind == "whole" or float(torch.rand(1, generator=generator)) < infill.after):
        begins = between(0, after - 1) if between(0, 1) else 0  # a gap may end in the chunk after
        known += range(size + begins, size + after)
    return tuple(known)
