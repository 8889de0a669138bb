"""Examples of the training set for the starts from data and for demos."""

from collections.abc import Iterator
from typing import Any

from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import IterableDataset


def example_audio(loader: Any, count: int) -> Iterator[Tensor]:
    """The first examples of a data loader (the next ones of a stream) as batches [B, 1, N], `count` or a few more.

    They are read in this process. The global generators of Python, NumPy and torch are left as they were.
    """
    batch_size, seen = loader.batch_size or 1, 0
    dataset: Any = getattr(loader, "dataset", None)
    if hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset):
        size = len(dataset) if hasattr(dataset, "__len__") else None
        for first in range(0, count, batch_size):
            with isolate_rng(include_cuda=False):
                items = [dataset[index if size is None else index % size] for index in range(first, first + batch_size)]
            yield loader.collate_fn(items)[0]
        return
    with isolate_rng(include_cuda=False):
        batches = iter(loader)
    while seen < count:
        with isolate_rng(include_cuda=False):
            batch = next(batches, None)
        if batch is None:
            return
        audio = batch[0]
        audio = audio[0] if audio.ndim == 4 else audio  # a stream that makes batches of its own
        seen += len(audio)
        yield audio
