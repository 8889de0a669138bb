"""Training audio that is read beside the training: as much as is asked for, and without a trace."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from snac_plugin.codec_training.examples import example_audio


def draw(count: int) -> tuple[torch.Tensor, list[Any]]:
    """Audio [count, 1, 8] from all generators."""
    return torch.rand(count, 1, 8) + random.random() + float(np.random.rand()), [{}] * count


class Items(Dataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        return draw(1)[0][0], {}


class Stream(IterableDataset):
    """Batches of four, without end, as a stream of stable-audio-tools makes them."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield draw(4)


def collate(items: list[Any]) -> tuple[torch.Tensor, list[Any]]:
    return torch.stack([audio for audio, _ in items]), [info for _, info in items]


LOADERS = {
    "items": lambda: DataLoader(Items(), batch_size=4, collate_fn=collate),
    "stream": lambda: DataLoader(Stream(), batch_size=None),
    "wrapped stream": lambda: DataLoader(Stream(), batch_size=1, collate_fn=lambda rows: (rows[0][0][None], rows[0][1])),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_as_many_examples_as_are_asked_for_and_the_generators_untouched(kind: str) -> None:
    """Or the draws of the steps after a codebook start would depend on what it read."""

    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    seed()
    expected = drawn()
    seed()
    batches = list(example_audio(LOADERS[kind](), 5))
    assert drawn() == expected
    assert [tuple(batch.shape) for batch in batches] == [(4, 1, 8), (4, 1, 8)]


def test_a_stream_that_ends_gives_what_it_has() -> None:
    class Short(IterableDataset):
        def __iter__(self) -> Iterator[Any]:
            yield draw(4)

    assert len(list(example_audio(DataLoader(Short(), batch_size=None), 100))) == 1
