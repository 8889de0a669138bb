"""What a training step draws, prepares and tells: the same on every rank or not, and of which sample."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec
from torch import Tensor

from snac_plugin.errors import AudioError
from snac_plugin.generation.context import Context
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditions import Conditions
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


def wrapper_for(codec: Path, training: dict[str, Any] | None = None, **network: Any) -> SnacDiffusionTrainingWrapper:
    config = tiny_model_config(codec, **network)
    config["training"] |= training or {}
    return training_wrapper(config, builders.model(config))


def test_same_step_same_loss_whatever_happened_before(codec: Path) -> None:
    """The draws of a step depend on seed, step and accumulated part alone: each rank draws for all, and takes its share."""
    wrapper = wrapper_for(codec, {"pre_encoded": True})
    seen = []
    for step, batch_idx, rank in ((3, 0, 0), (3, 0, 0), (4, 0, 0), (3, 1, 0), (3, 0, 1)):
        wrapper._trainer = SimpleNamespace(global_step=step, accumulate_grad_batches=2, global_rank=rank, world_size=1)
        torch.rand(7)
        seen.append(torch.rand(1, generator=wrapper._generator(batch_idx)).item())
    assert seen[0] == seen[1]
    assert seen[0] == seen[4]
    assert len(set(seen)) == 3


def test_all_ranks_draw_the_same_context_length(codec: Path) -> None:
    """A step takes as long as its slowest rank: those with less context would wait for the others."""
    phase = {"name": "both", "context": {"0": 0.5, "1": 0.5}}
    wrapper = wrapper_for(codec, {"curriculum": [phase]}, context_chunks=1)
    drawn = []
    for rank in range(3):
        lengths = []
        for step in range(20):
            wrapper._trainer = SimpleNamespace(global_step=step, accumulate_grad_batches=1, global_rank=rank, world_size=1)
            lengths.append(wrapper._context_chunks(wrapper.curriculum.at(step), 0))
        drawn.append(lengths)
    assert drawn[0] == drawn[1] == drawn[2]
    assert set(drawn[0]) == {0, 1}


@pytest.mark.parametrize(("rank", "lines"), [(0, 1), (1, 0)])
def test_phases_are_told_by_one_rank(codec: Path, caplog: pytest.LogCaptureFixture, rank: int, lines: int) -> None:
    wrapper = wrapper_for(codec)
    wrapper._trainer = SimpleNamespace(global_step=0, global_rank=rank, world_size=1)
    with caplog.at_level(logging.INFO):
        wrapper._enter_phase()
        wrapper._enter_phase()
    assert len([message for message in caplog.messages if message.startswith("step 0: phase all levels")]) == lines


def test_conditioning_and_given_context_are_dropped_together(codec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What guidance subtracts has neither; two draws would train it in one sample of a hundred."""
    settings = {"cfg_dropout_prob": 0.5, "pre_encoded": True}
    wrapper = wrapper_for(codec, settings, context_chunks=1)
    batch = 32
    codes = torch.randint(4096, (batch, 15, 2 * CHUNK_FRAMES))
    given = Context(codes[..., :CHUNK_FRAMES], torch.ones(batch, CHUNK_FRAMES, dtype=torch.bool), None)
    told = Conditions(cross=torch.ones(batch, 2, 5))
    monkeypatch.setattr(SnacDiffusion, "context", lambda *_: given)
    monkeypatch.setattr(SnacDiffusion, "joined", lambda *_: told)
    monkeypatch.setattr(wrapper, "_log_step", lambda *_: None)
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(
        model: Any, codes: Tensor, draw: Any, conditions: Conditions, mask: Any, before: Context, stages: Any, share: Any
    ) -> tuple[Tensor, Tensor]:
        assert conditions.cross is not None
        seen.append((conditions.cross.flatten(1).any(dim=1), before.mask.any(dim=1)))
        return torch.ones(4), torch.ones(4)

    monkeypatch.setattr(wrapper, "_losses", spy)
    wrapper._trainer = SimpleNamespace(global_step=0, accumulate_grad_batches=1, global_rank=0, world_size=1)
    wrapper.training_step((codes, [{}] * batch), 0)
    ((conditioning, context),) = seen
    assert torch.equal(conditioning, context)
    assert 0 < int(context.sum()) < batch


def test_a_bad_sample_names_its_file(codec: Path) -> None:
    """One file of thousands with a NaN in it: which one?"""
    wrapper = wrapper_for(codec)
    audio = torch.zeros(3, 1, CHUNK_FRAMES * 3072)
    audio[1, 0, 5] = torch.nan
    metadata = [{"path": f"/music/{name}.wav"} for name in "abc"]
    with pytest.raises(AudioError, match=r"^/music/b\.wav: found NaN"):
        wrapper._prepare((audio, metadata))
    with pytest.raises(AudioError, match=r"^sample 1 of the batch: found NaN"):
        wrapper._prepare((audio, [{}] * 3))


def test_a_run_too_short_for_all_levels_says_so(codec: Path, caplog: pytest.LogCaptureFixture) -> None:
    phases = [{"name": "coarse", "steps": 9, "levels": "AB", "context": {"0": 1.0}}, {"name": "all", "context": {"0": 1.0}}]
    wrapper = wrapper_for(codec, {"curriculum": phases})
    for steps in (-1, 10, 9):
        wrapper._trainer = SimpleNamespace(max_steps=steps, strategy=None, global_rank=0)
        wrapper.on_train_start()
    assert caplog.messages == ["max_steps 9 leaves levels untrained: training.curriculum trains C D from step 9 on"]
