"""Draws of training data depend on seed and position alone."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from snac_plugin.data.resumable_loader import EndlessDraws, SeededDraws, repeatable, resumable


class Crops(Dataset):
    """Ten items; what is drawn depends on every generator that a dataset might use."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, random.random() + float(np.random.rand()) + float(torch.rand(()))


def batches(first: int, count: int, rank: int = 0, ranks: int = 1, workers: int = 0, seed: int = 3) -> list[list[Any]]:
    loader = DataLoader(Crops(), batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    drawn = iter(resumable(loader, seed, lambda: first, lambda: (rank, ranks)))
    return [[x.tolist() for x in next(drawn)] for _ in range(count)]


def test_a_resumed_run_reads_what_an_uninterrupted_one_would_have_read() -> None:
    """Items, order and crops, over the borders of epochs, whatever the global generators were left at."""
    torch.manual_seed(1)
    whole = batches(0, 8)
    torch.manual_seed(2)
    random.seed(2)
    assert batches(5, 3) == whole[5:]


def test_worker_processes_change_nothing() -> None:
    assert batches(2, 4, workers=2) == batches(2, 4)


def test_each_epoch_holds_every_item_once_in_a_new_order() -> None:
    draws = SeededDraws(Crops(), seed=0)
    epochs = [[draws[i][0] for i in range(epoch * 10, epoch * 10 + 10)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_same_item_is_cropped_anew_in_each_epoch() -> None:
    """A crop seeded by the item would train on one crop of each file for ever."""
    draws = SeededDraws(Crops(), seed=0)
    crops = [draws[i] for i in range(30)]
    assert len({crop for _, crop in crops}) == 30


def test_other_seed_other_draws() -> None:
    assert batches(0, 2, seed=3) != batches(0, 2, seed=4)


def test_ranks_share_out_the_draws() -> None:
    """Two ranks with two batches each read what one rank reads in four."""
    whole = [item for batch in batches(0, 4) for item in zip(*batch, strict=True)]
    shared = [item for rank in (0, 1) for batch in batches(0, 2, rank, 2) for item in zip(*batch, strict=True)]
    assert sorted(shared) == sorted(whole)


def test_position_is_asked_for_when_reading_begins() -> None:
    """The trainer restores its step after the loader was made."""
    position = [0]
    sampler = EndlessDraws(4, lambda: position[0], lambda: (0, 1))
    position[0] = 7
    assert next(iter(sampler)) == 28


def test_streams_are_handed_back_as_they_are() -> None:
    """A WebDataset has no positions to draw from."""

    class Stream(IterableDataset):
        def __iter__(self) -> Iterator[int]:
            yield from range(3)

    loader = DataLoader(Stream())
    assert resumable(loader, 0, lambda: 0, lambda: (0, 1)) is loader
    assert repeatable(loader, 0) is loader


def test_validation_reads_every_item_and_the_same_crops_each_time() -> None:
    """A last batch left out would leave a small validation set empty; new crops would hide what training changed."""
    loader = repeatable(DataLoader(Crops(), batch_size=4, drop_last=True), seed=0)
    first, second = ([[x.tolist() for x in batch] for batch in loader] for _ in range(2))
    assert first == second
    assert [index for indices, _ in first for index in indices] == list(range(10))
    assert len({crop for _, crops in first for crop in crops}) == 10
