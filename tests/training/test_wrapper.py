"""The training wrapper under Lightning's trainer, on the CPU, with a tiny model."""

import json
import logging
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from small_runs import logged, prepare, run
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec
from torch import Tensor

from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper
from snac_plugin.training.batches import padding_mask
from snac_plugin.training.demo import SnacDemoCallback, averaged_weights
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper

CURRICULUM = [
    {"name": "alone", "steps": 4, "context": {"0": 1.0}, "levels": "BCD", "learning_rate_scale": 0.5},
    {"name": "one", "context": {"0": 0.3, "1": 0.7}, "learning_rate_scale": 2.0},
]
SCHEDULED = {
    "diffusion": {
        "optimizer": {"type": "AdamW", "config": {"lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 1e-3}},
        "scheduler": {"type": "ExponentialLR", "config": {"gamma": 0.9}},  # takes the last rate and goes on from there
    }
}
EVERYTHING_RANDOM = {
    "curriculum": CURRICULUM,
    "optimizer_configs": SCHEDULED,
    "learning_rate": None,
    "corruption": 0.2,
    "cfg_dropout_prob": 0.3,
    "infill": {"share": 0.7},
    "timestep_sampler": {"A": "logit_normal", "D": "log_snr"},
}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Six steps of two batches each; (flags, checkpoint)."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    flags = prepare(folder, EVERYTHING_RANDOM, context_chunks=1, dropout=0.1)
    return flags, run(flags, folder, "--accum-batches", 2, "--max-steps", 6)


def weights(checkpoint: Path) -> dict[str, Tensor]:
    return torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]


def wrapper_for(
    codec: Path, training: dict[str, Any] | None = None, objective: str = "rectified_flow", **network: Any
) -> SnacDiffusionTrainingWrapper:
    config = tiny_model_config(codec, **network)
    config["training"] |= training or {}
    config["model"]["diffusion"]["diffusion_objective"] = objective
    return training_wrapper(config, builders.model(config))


class Losses(pl.Callback):
    """Keeps what each step logs."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def mean(self, level: str, span: slice) -> float:
        chosen = [step[f"train/loss_{level}"] for step in self.steps[span]]
        return sum(chosen) / len(chosen)


ONE_CODE_A_LEVEL = torch.tensor([5] + [6] * 2 + [7] * 4 + [8] * 8)[None, :, None].repeat(1, 1, CHUNK_FRAMES)


RANDOM_CODES = torch.randint(4096, (1, 15, CHUNK_FRAMES), generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "head", "codes", "steps"),
    [
        ("rectified_flow", "velocity", ONE_CODE_A_LEVEL, 60),
        ("rectified_flow", "logits", RANDOM_CODES, 100),
        ("masked", "logits", RANDOM_CODES, 160),
    ],
    ids=["velocity", "logits", "masked"],
)
def test_overfitting_one_batch_drives_every_level_down(codec: Path, objective: str, head: str, codes: Tensor, steps: int) -> None:
    """A level that learnt nothing would stay at its first loss: a target or a head mixed up, gradients cut off."""
    pl.seed_everything(0)
    settings = {"timestep_sampler": "logit_normal", "timestep_sampler_options": {"std": 0.5}, "cfg_dropout_prob": 0.0}
    settings |= {"learning_rate": 3e-3, "pre_encoded": True, "use_ema": False}
    wrapper, losses = wrapper_for(codec, settings, objective, head=head, dim=64, ff_mult=2.0), Losses()
    data = torch.utils.data.DataLoader([(codes, [{}])] * steps, batch_size=None)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(accelerator="cpu", max_steps=steps, callbacks=[losses], **quiet).fit(wrapper, data)
    for level in "ABCD":
        assert losses.mean(level, slice(-10, None)) * 10 < losses.mean(level, slice(0, 2)), level


@pytest.mark.slow
def test_resuming_equals_not_stopping(uninterrupted: tuple[list[str], Path], tmp_path: Path) -> None:
    """Losses and weights bit for bit, over a change of phase, with everything that is random in use."""
    flags, expected = uninterrupted
    accumulate = ("--accum-batches", 2)
    first = run(flags, tmp_path, *accumulate, "--max-steps", 3)
    torch.manual_seed(99)  # what a new process would not share with the old one
    second = run(flags, tmp_path, *accumulate, "--max-steps", 6, "--recover", "true")
    assert (first.name, second.name) == ("step=00000003.ckpt", "step=00000006.ckpt")
    ours, whole = logged(tmp_path), logged(expected.parents[1])
    for name in ("train/loss", "train/loss_A", "train/loss_D", "train/context_chunks", "train/phase", "train/lr"):
        assert ours[name] == whole[name], name
    mine, theirs = weights(second), weights(expected)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


@pytest.mark.slow
def test_each_loss_is_logged_once(uninterrupted: tuple[list[str], Path]) -> None:
    """A to D stand in the bar, and train/loss_A to D in the log: TensorBoard would show each of them twice."""
    names = logged(uninterrupted[1].parents[1]).keys()
    assert {f"train/loss_{level}" for level in "ABCD"} <= names
    assert not set("ABCD") & names


@pytest.mark.slow
def test_phases_change_at_their_steps_and_scale_the_scheduled_rate(uninterrupted: tuple[list[str], Path]) -> None:
    """The scheduler must never see the phase's share, or the shares would multiply up."""
    values = logged(uninterrupted[1].parents[1])
    expected = {step: 1e-3 * 0.9**step * (0.5 if step < 4 else 2.0) for step in range(6)}
    assert values["train/lr"] == pytest.approx(expected)
    assert list(values["train/phase"].values()) == [0, 0, 0, 0, 1, 1]
    assert all(values["train/context_chunks"][step] == 0 for step in range(4))


@pytest.mark.slow
def test_only_levels_of_the_phase_count(uninterrupted: tuple[list[str], Path]) -> None:
    values = logged(uninterrupted[1].parents[1])
    for step in range(4):
        mean = sum(values[f"train/loss_{level}"][step] for level in "BCD") / 3
        assert values["train/loss"][step] == pytest.approx(mean, rel=1e-5)
    assert list(values["train/loss_A"]) == [4, 5]


@pytest.mark.slow
def test_levels_that_are_trained_no_more_are_logged_no_more(tmp_path: Path) -> None:
    """Lightning repeats the last value of all that was logged since the epoch began."""
    phases = [{"name": "all", "steps": 2, "context": {"0": 1.0}}, {"name": "coarse", "levels": "AB", "context": {"0": 1.0}}]
    run(prepare(tmp_path, {"curriculum": phases}, context_chunks=1), tmp_path, "--max-steps", 4)
    values = logged(tmp_path)
    assert list(values["train/loss_A"]) == [0, 1, 2, 3]
    assert list(values["train/loss_C"]) == [0, 1]


@pytest.mark.slow
def test_checkpoint_holds_config_and_averages_but_no_codec(uninterrupted: tuple[list[str], Path]) -> None:
    """The frozen codec would be in every checkpoint twice as large as the network itself."""
    content = torch.load(uninterrupted[1], map_location="cpu", weights_only=True)
    assert content["model_config"]["training"]["curriculum"] == CURRICULUM
    assert set(content["snac_codec"]) == {"name", "fingerprint"}
    assert content["global_step"] == 6
    names = content["state_dict"]
    assert not any("pretransform" in name or "codebook" in name for name in names)
    online = {n.removeprefix("diffusion.model.") for n in names if n.startswith("diffusion.model.")}
    averaged = {n.removeprefix("diffusion_ema.ema_model.") for n in names if n.startswith("diffusion_ema.ema_model.")}
    assert online == averaged
    assert any(not torch.equal(names[f"diffusion.model.{n}"], names[f"diffusion_ema.ema_model.{n}"]) for n in online)


def test_a_run_does_not_go_on_with_another_head(codec: Path) -> None:
    """Weights of these two have the same shapes, and other meanings."""
    saved, other = wrapper_for(codec, head="posterior"), wrapper_for(codec, head="logits")
    checkpoint: dict[str, Any] = {"state_dict": saved.state_dict()}
    saved.on_save_checkpoint(checkpoint)
    wrapper_for(codec, head="posterior").on_load_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match='weights of the head "posterior", expected "logits"'):
        other.on_load_checkpoint(checkpoint)


@pytest.mark.slow
def test_interrupt_ends_after_the_step_and_saves_it(
    uninterrupted: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the first of a step's two batches, told to the data loader's workers too: going on loses nothing."""
    flags, expected = uninterrupted
    training_step, batches = SnacDiffusionTrainingWrapper.training_step, []

    def interrupted(self: SnacDiffusionTrainingWrapper, batch: Any, batch_idx: int) -> Tensor:
        batches.append(batch_idx)
        if len(batches) == 5:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(SnacDiffusionTrainingWrapper, "training_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    stopped = run(flags, tmp_path, "--accum-batches", 2, "--max-steps", 6)
    assert stopped.name == "step=00000003.ckpt"
    assert signal.getsignal(signal.SIGINT) is before
    finished = run(flags, tmp_path, "--accum-batches", 2, "--max-steps", 6, "--recover", "true")
    mine, theirs = weights(finished), weights(expected)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_failing_demo_does_not_end_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no sound today")

    monkeypatch.setattr(SnacDiffusion, "generate", fail)
    flags = prepare(tmp_path)
    with caplog.at_level(logging.ERROR):
        newest = run(flags, tmp_path, "--max-steps", 3, demos=True)
    assert newest.name == "step=00000003.ckpt"
    told = [record for record in caplog.records if "training goes on" in record.message]
    assert len(told) == 2  # at steps 1 and 3
    assert "no sound today" in caplog.text


@pytest.mark.slow
def test_validation_logs_every_level_at_fixed_noise(tmp_path: Path) -> None:
    """Fresh noise in each validation would hide what training changed: with no learning rate, nothing changes."""
    flags = prepare(tmp_path, {"learning_rate": 1e-12, "validation_timesteps": [0.2, 0.25, 0.8]}, context_chunks=1)
    run(flags, tmp_path, "--max-steps", 4, "--val-every", 2, "--val-dataset-config", tmp_path / "dataset.json")
    values = logged(tmp_path)
    names = [f"val/loss_{part}" for part in (*"ABCD", "0.2", "0.25", "0.8", "0.2_A", "0.25_B", "0.8_D")] + ["val/avg_loss"]
    for name in names:
        first, second = values[name].values()
        assert first == pytest.approx(second, rel=1e-5)
    for t in ("0.2", "0.25", "0.8"):
        by_level = [values[f"val/loss_{t}_{level}"].popitem()[1] for level in "ABCD"]
        assert values[f"val/loss_{t}"].popitem()[1] == pytest.approx(sum(by_level) / 4, rel=1e-5)


def test_demos_take_the_averaged_weights_and_give_the_others_back(codec: Path) -> None:
    wrapper = wrapper_for(codec)
    online = wrapper.diffusion.model
    wrapper.train()
    with averaged_weights(wrapper) as model:
        assert model.model is wrapper.diffusion_ema.ema_model
        assert not model.model.training
    assert wrapper.diffusion.model is online
    assert online.training
    assert wrapper.training


def test_a_demo_takes_from_a_batch_what_the_conditioners_read(codec: Path, tmp_path: Path) -> None:
    """Metadata of a data loader holds paths and masks too, which a request may not."""
    config = tiny_model_config(codec, global_cond_dim=8)
    number = {"id": "tempo", "type": "number", "config": {"min_val": 0, "max_val": 10}}
    config["model"]["conditioning"] = {"configs": [number], "cond_dim": 8}
    config["model"]["diffusion"]["global_cond_ids"] = ["tempo"]
    config["training"]["demo"]["demo_cond_from_batch"] = True
    module = training_wrapper(config, builders.model(config))
    trainer: Any = SimpleNamespace(global_step=1, default_root_dir=tmp_path, logger=None)
    batch = torch.zeros(1, 1, config["sample_size"]), [{"tempo": 3.0, "path": "a.wav"}]
    SnacDemoCallback(module.diffusion.config.training.demo).make_demos(trainer, module, batch)
    noted = json.loads((tmp_path / "demos" / "step_00000001" / "demo_cfg_1_0.json").read_text())
    assert noted["conditioning"] == {"tempo": 3.0}
    assert (tmp_path / "demos" / "step_00000001" / "demo_cfg_1_0.wav").exists()


def test_padding_mask_counts_frames_with_any_sound() -> None:
    """stable-audio-tools gives a mask a sample, bare or in a list, per audio sample or per latent frame."""
    bare = [{"padding_mask": torch.tensor([1.0] * 5 + [0.0] * 7)}, {"padding_mask": torch.ones(12)}]
    expected = torch.tensor([[True, True, False, False], [True, True, True, True]])
    device = torch.device("cpu")
    found = padding_mask(bare, 4, device)
    assert found is not None
    assert torch.equal(found, expected)
    in_lists = [{"padding_mask": [expected[0].long()]}, {"padding_mask": [expected[1].long()]}]
    again = padding_mask(in_lists, 4, device)
    assert again is not None
    assert torch.equal(again, expected)
    assert padding_mask(bare[1:], 4, device) is None
    assert padding_mask([{}, bare[0]], 4, device) is None
