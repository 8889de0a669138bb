"""Data loaders whose order and random crops depend on seed and step alone: a resumed run reads what an unbroken one would read."""

import hashlib
import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from snac_plugin.diffusion.seeds import item_seed, order_seed, validation_item_seed
from snac_plugin.errors import LostData


class SeededDraws(Dataset):
    """A dataset of endless draws: draw i is one of the n items in epoch i // n, its random crop and flip seeded by i."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self._epoch, self._order = -1, torch.empty(0)

    def __getitem__(self, draw: int) -> Any:
        epoch, index = divmod(draw, len(self.dataset))
        if epoch != self._epoch:
            self._order = torch.randperm(len(self.dataset), generator=torch.Generator().manual_seed(order_seed(self.seed, epoch)))
            self._epoch = epoch
        _seed_everything(item_seed(self.seed, draw))
        return _item(self.dataset, int(self._order[index]))


class SeededItems(Dataset):
    """A dataset whose items are the same each time they are read, random crop and flip included."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        _seed_everything(validation_item_seed(self.seed, index))
        return _item(self.dataset, index)


def _item(dataset: Any, index: int) -> Any:
    """An item, or the error that ends the training: one that a worker raised would reach the trainer as a RuntimeError."""
    try:
        return dataset[index]
    except LostData as error:
        return error


class _Loader(DataLoader):
    """A data loader that raises the errors among its items, in the process that reads its batches."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, LostData):
                raise batch
            yield batch


class _Collate:
    """How the items of a batch are joined; an error among them takes its place."""

    def __init__(self, join: Callable[[Any], Any]) -> None:
        self.join = join

    def __call__(self, items: Sequence[Any]) -> Any:
        return next((item for item in items if isinstance(item, LostData)), None) or self.join(items)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class EndlessDraws(Sampler):
    """Indices of draws without end, different ones on each rank.

    When iteration begins, `first_batch` gives how many batches a rank has trained on, and `rank` (rank, number of ranks).
    """

    def __init__(self, batch_size: int, first_batch: Callable[[], int], rank: Callable[[], tuple[int, int]]) -> None:
        self.batch_size, self.first_batch, self.rank = batch_size, first_batch, rank

    def __iter__(self) -> Iterator[int]:
        first, (rank, ranks) = self.first_batch(), self.rank()
        for batch in itertools.count(first):
            start = (batch * ranks + rank) * self.batch_size
            yield from range(start, start + self.batch_size)


def resumable(loader: Any, seed: int, first_batch: Callable[[], int], rank: Callable[[], tuple[int, int]]) -> Any:
    """A data loader for training whose draws depend on seed and position alone; a stream has no positions and stays as it is."""
    if _is_streamed(loader):
        return loader
    return _loader_like(loader, SeededDraws(loader.dataset, seed), EndlessDraws(loader.batch_size or 1, first_batch, rank))


def tracks_of(loader: Any) -> dict[str, Any]:
    """How many `tracks` a loader of `resumable` puts in order, and a digest of their files' `names`; {} for a stream."""
    dataset = getattr(loader, "dataset", None)
    if not isinstance(dataset, SeededDraws):
        return {}
    files = getattr(dataset.dataset, "filenames", None)
    names = "\n".join(os.path.basename(file) for file in files or ())
    named = {"names": hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:12]} if files else {}
    return {"tracks": len(dataset.dataset), **named}


def repeatable(loader: Any, seed: int) -> Any:
    """A data loader for validation: all items in order, each the same every time; a stream stays as it is."""
    return loader if _is_streamed(loader) else _loader_like(loader, SeededItems(loader.dataset, seed), None)


def _is_streamed(loader: Any) -> bool:
    return not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset)


def _loader_like(loader: DataLoader, dataset: Dataset, sampler: Sampler | None) -> DataLoader:
    return _Loader(
        dataset,
        batch_size=loader.batch_size,
        sampler=sampler,
        num_workers=loader.num_workers,
        persistent_workers=loader.num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        collate_fn=_Collate(loader.collate_fn),
    )
