"""Audio of the training set beside the training itself: what codebooks start from, and what demos are made of.

Letters: B batch, N audio samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset


def example_audio(loader: Any, count: int) -> Iterator[Tensor]:
    """The first examples of a data loader as batches [B, 1, N], `count` or a few more; read here, not by its workers.

    What they draw at random does not touch the global generator. Of a stream, which has no first examples, the next ones.
    """
    batch = loader.batch_size or 1
    dataset = getattr(loader, "dataset", None)
    if dataset is None or isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        for audio, _ in islice(loader, -(-count // batch)):
            yield audio[0] if audio.ndim == 4 else audio
        return
    size = len(dataset) if hasattr(dataset, "__len__") else None
    for first in range(0, count, batch):
        with torch.random.fork_rng(devices=[]):
            items = [dataset[index if size is None else index % size] for index in range(first, first + batch)]
        yield loader.collate_fn(items)[0]
