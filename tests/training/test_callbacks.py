"""Stopping on all ranks at once, and which checkpoint is the newest."""

import logging
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from snac_plugin.checkpoints.weights import check_counts
from snac_plugin.cli.run_folder import checkpoints_in
from snac_plugin.data.resumable_loader import resumable
from snac_plugin.errors import CheckpointError
from snac_plugin.training.callbacks import Checkpoints, SameData, SameOptimizers, StopOnSignal

QUIET: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


class Ranks:
    """A trainer of one rank among several that says what it is asked to decide together."""

    def __init__(self, others_asked: bool, accumulate: int) -> None:
        self.others_asked, self.accumulate_grad_batches = others_asked, accumulate
        self.should_stop, self.limit_val_batches, self.strategy = False, 1, self
        self.decisions: list[bool] = []

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        assert not all
        self.decisions.append(decision)
        return decision or self.others_asked


def after_batch(callback: StopOnSignal, ranks: Any, batch_idx: int) -> bool:
    callback.on_train_batch_end(ranks, pl.LightningModule(), None, None, batch_idx)
    return ranks.should_stop


def test_a_rank_stops_when_another_was_told_to() -> None:
    """One that stopped or went on alone would wait for the others for ever; asked once a step, and by all."""
    callback, ranks = StopOnSignal(), Ranks(others_asked=True, accumulate=2)
    assert not after_batch(callback, ranks, 0)
    assert ranks.decisions == []
    assert after_batch(callback, ranks, 1)
    assert ranks.decisions == [False]
    assert ranks.limit_val_batches == 0


def test_a_signal_alone_stops_nothing_before_all_ranks_know() -> None:
    callback, ranks = StopOnSignal(), Ranks(others_asked=False, accumulate=1)
    callback.on_train_start(ranks, pl.LightningModule())  # type: ignore[arg-type]
    assert not after_batch(callback, ranks, 0)
    signal.raise_signal(signal.SIGTERM)
    assert not ranks.should_stop
    assert after_batch(callback, ranks, 1)
    assert ranks.decisions == [False, True]


@pytest.fixture
def saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that saves a checkpoint of that name as Lightning would; it gives the callback."""
    monkeypatch.setattr(ModelCheckpoint, "_save_checkpoint", lambda _, __, path: Path(path).touch())
    callback = Checkpoints(tmp_path, 1, 3)

    def save(name: str) -> Checkpoints:
        callback._save_checkpoint(SimpleNamespace(is_global_zero=True), str(tmp_path / name))  # type: ignore[arg-type]
        return callback

    return save


def test_newest_is_what_was_saved_last(saving: Any, tmp_path: Path) -> None:
    """Whatever else lies in the folder; the link follows and nothing is left beside it."""
    (tmp_path / "step=00000009.ckpt").touch()
    for name in ("step=00000001.ckpt", "step=00000002.ckpt"):
        assert saving(name).newest == tmp_path / name
        assert os.readlink(tmp_path / "last.ckpt") == name
    assert len(list(tmp_path.iterdir())) == 4


def test_where_links_are_not_possible_training_goes_on(
    saving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with caplog.at_level(logging.WARNING):
        saving("step=00000001.ckpt")
        assert saving("step=00000002.ckpt").newest == tmp_path / "step=00000002.ckpt"
    assert [record.message for record in caplog.records] == [
        f"No link last.ckpt to the newest checkpoint in {tmp_path}: no links here"
    ]


def test_of_one_step_the_checkpoint_written_last_is_the_newest(tmp_path: Path) -> None:
    """Lightning names a second one of a step step=N-v1.ckpt."""
    for name, age in (("step=00000005.ckpt", 20), ("step=00000005-v1.ckpt", 10), ("step=00000003.ckpt", 0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "step=mine.ckpt").touch()
    assert [path.stem[4:] for path in checkpoints_in(tmp_path)] == ["=00000005-v1", "=00000005", "=00000003"]
    os.utime(tmp_path / "step=00000005.ckpt", (2000, 2000))
    assert checkpoints_in(tmp_path)[0] == tmp_path / "step=00000005.ckpt"
    assert checkpoints_in(tmp_path / "nothing") == []


@pytest.mark.parametrize("wrong", ["2", -1, None, [{"ready": 2}]])
def test_counts_that_are_no_numbers_are_told(wrong: Any) -> None:
    """Lightning added to them, and ended in a traceback."""
    loops = pl.Trainer(**QUIET).fit_loop.state_dict()
    check_counts(loops, "step.ckpt")
    loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["ready"] = wrong
    with pytest.raises(CheckpointError, match=r"^step\.ckpt: found .* steps or batches ready, expected a whole number from 0 up"):
        check_counts(loops, "step.ckpt")


def test_optimizers_are_checked_where_a_checkpoint_filled_them(tmp_path: Path) -> None:
    """A new run has nothing to check, and what DeepSpeed wraps has no state of torch's form."""
    weight = torch.ones(2, 3, requires_grad=True)
    broken = torch.optim.AdamW([weight])
    broken.state[weight] = {"exp_avg": torch.full((2, 3), torch.nan)}

    def start(ckpt_path: str | None, optimizer: Any) -> None:
        trainer = SimpleNamespace(ckpt_path=ckpt_path, optimizers=[optimizer], global_step=0, fit_loop=pl.Trainer(**QUIET).fit_loop)
        Checkpoints(tmp_path, 1, 3).on_train_start(trainer, pl.LightningModule())  # type: ignore[arg-type]

    start(None, broken)
    start("step.ckpt", SimpleNamespace(param_groups=broken.param_groups))
    with pytest.raises(CheckpointError, match=r"^step\.ckpt: found exp_avg of an optimizer"):
        start("step.ckpt", broken)
    for wrong in ({"weight_decay": None}, {"betas": (0.9, "0.99")}):
        broken.param_groups[0] |= wrong
        with pytest.raises(CheckpointError, match=r"^step\.ckpt: found optimizers with options that are no numbers"):
            start("step.ckpt", broken)


@pytest.mark.parametrize(
    ("batch_size", "processes", "said"),
    [
        (4, 1, []),
        (2, 2, []),
        (4, 2, ["the number of processes (--num-gpus, --num-nodes) is 2 and was 1"]),
        (2, 1, ["--batch-size is 2 and was 4"]),
        (3, 2, ["--batch-size is 3 and was 4, the number of processes (--num-gpus, --num-nodes) is 2 and was 1"]),
    ],
)
def test_processes_that_share_a_batch_read_the_same_data(
    batch_size: int, processes: int, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint: dict[str, Any] = {}
    module, one = pl.LightningModule(), SimpleNamespace(accumulate_grad_batches=1, world_size=1, is_global_zero=True)
    SameData(4, 42, None).on_save_checkpoint(one, module, checkpoint)  # type: ignore[arg-type]
    some: Any = SimpleNamespace(accumulate_grad_batches=1, world_size=processes, is_global_zero=True)
    SameData(batch_size, 42, None).on_load_checkpoint(some, module, checkpoint)
    assert caplog.messages == [f"From here on data or noise are not those of an unbroken run: {one}" for one in said]
    some.is_global_zero = False
    SameData(9, 42, None).on_load_checkpoint(some, module, checkpoint)
    assert len(caplog.messages) == len(said), "the first process tells it for all"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (["c/a.wav", "c/b.wav"], None),
        (["b/a.wav", "b/d.wav"], r"the digest of the tracks' names in their order is \w{12} and was \w{12}"),
        (["c/b.wav", "c/a.wav"], r"the digest of the tracks' names in their order is \w{12} and was \w{12}"),
        (["b/a.wav", "b/b.wav", "b/d.wav"], "the number of tracks in the data is 3 and was 2"),
    ],
)
def test_other_files_are_told_and_a_folder_that_has_moved_is_not(
    now: list[str], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    def loader(files: list[str]) -> Any:
        dataset: Any = torch.utils.data.TensorDataset(torch.arange(len(files)))
        dataset.filenames = files
        return resumable(torch.utils.data.DataLoader(dataset, batch_size=2), 1, lambda: 0, lambda: (0, 1))

    checkpoint: dict[str, Any] = {}
    trainer: Any = SimpleNamespace(accumulate_grad_batches=1, world_size=1, is_global_zero=True)
    SameData(2, 1, loader(["a/a.wav", "a/b.wav"])).on_save_checkpoint(trainer, pl.LightningModule(), checkpoint)
    SameData(2, 1, loader(now)).on_load_checkpoint(trainer, pl.LightningModule(), checkpoint)
    assert len(caplog.messages) == (said is not None)
    assert said is None or re.fullmatch(f"From here on data or noise are not those of an unbroken run: {said}", caplog.messages[0])


def test_damaged_notes_of_the_data_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """They ended in a traceback."""
    trainer: Any = SimpleNamespace(accumulate_grad_batches=1, world_size=2, is_global_zero=True)
    checkpoint = {"decides_data": {"batch_size": "2", "processes": None, "seed": 3}}
    SameData(4, 1, None).on_load_checkpoint(trainer, pl.LightningModule(), checkpoint)
    assert caplog.messages == ["From here on data or noise are not those of an unbroken run: --seed is 1 and was 3"]


def _adam(rate: float) -> dict[str, Any]:
    optimizer = {"type": "AdamW", "config": {"lr": rate, "betas": [0.9, 0.99]}}
    return {"optimizer_configs": {"diffusion": {"optimizer": optimizer}}}


IN_CONFIG = "training.optimizer_configs.diffusion.optimizer.config.lr"


@pytest.mark.parametrize(
    ("was", "said"),
    [
        ({"training": _adam(0.001)}, None),
        ({"training": _adam(0.001) | {"use_ema": False}}, None),
        ({"training": _adam(0.002)}, f"{IN_CONFIG} is 0.001 and was 0.002"),
        ({"training": {"learning_rate": 0.1} | _adam(0.001)}, "training.learning_rate is null and was 0.1"),
        ({"training": {"learning_rate_scales": {"encoder": 2.0}} | _adam(0.001)}, 'is null and was {"encoder": 2.0}'),
        ({"training": {"learning_rate": 0.1}}, "training.learning_rate is null and was 0.1, training.optimizer_configs is {"),
        ({}, None),
        (None, None),
    ],
)
def test_optimizers_that_a_run_does_not_follow_are_told(
    was: dict[str, Any] | None, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A learning rate that was changed for --recover took no effect, without a word; a plain `learning_rate` longest of all."""
    module: Any = SimpleNamespace(model_config={"training": _adam(0.001)})
    SameOptimizers().on_load_checkpoint(SimpleNamespace(is_global_zero=True), module, {"model_config": was})  # type: ignore[arg-type]
    assert len(caplog.messages) == (said is not None)
    assert (said or "") in caplog.text
