"""Demos in training: the first is announced, for a bar that stands still looks like a hang."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl

from snac_plugin.output.demo_logging import DemoCallback


class CountedDemos(DemoCallback):
    made = 0

    def make_demos(self, trainer: pl.Trainer, module: Any, batch: Any) -> None:
        self.made += 1


def test_only_the_first_demo_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    callback = CountedDemos(demo_every=2)
    with caplog.at_level(logging.INFO):
        for step in (1, 2, 3, 4, 5):
            trainer: Any = SimpleNamespace(global_step=step)
            callback.on_train_batch_end(trainer, pl.LightningModule(), None, None, step)
    assert callback.made == 3
    assert caplog.messages == ["Making the first demo; training goes on after it", "The first demo took 0 s"]


def test_there_are_demos_after_no_step_of_0() -> None:
    """It was a division by 0, and an error of the config."""
    callback = CountedDemos(demo_every=0)
    for step in (1, 2, 3):
        trainer: Any = SimpleNamespace(global_step=step)
        callback.on_train_batch_end(trainer, pl.LightningModule(), None, None, step)
    assert callback.made == 0
