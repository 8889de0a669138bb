"""Options of training that learn something beside the network: stopped and resumed they end as if they had never stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import logged, prepare, run
from test_wrapper import EVERYTHING_RANDOM, weights

from snac_plugin.errors import CheckpointError
from snac_plugin.training import clipping

OPTIONS: dict[str, Any] = {
    "uncertainty": True,
    "timestep_sampler": "time_warp",
    "timestep_sampler_options": {"warmup": 2},
    "input_perturbation": {"B": 0.1, "D": 0.2},
    "infill": {"share": 0.5, "gaps": {"spans": 1.0}, "span": 2},
    "ema_lengths": [0.05, 0.15],
    "clip_grad_deviations": 0.5,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Six steps of two batches each, in one go, and stopped after three."""
    folder = tmp_path_factory.mktemp("options")
    flags = prepare(folder, EVERYTHING_RANDOM | OPTIONS, context_chunks=1, dropout=0.1, head="logits")
    flags += ["--accum-batches", "2"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clipping, "FIRST_NORMS", 2)
        whole = run(flags, folder / "whole", "--max-steps", 6)
        half = run(flags, folder / "parts", "--max-steps", 3)
        torch.manual_seed(99)
        resumed = run(flags, folder / "parts", "--max-steps", 6, "--recover", "true")
    return {"folder": folder, "flags": flags, "whole": whole, "half": half, "resumed": resumed}


@pytest.mark.slow
def test_resuming_equals_not_stopping(runs: dict[str, Any]) -> None:
    mine, theirs = weights(runs["resumed"]), weights(runs["whole"])
    assert mine.keys() == theirs.keys()
    assert [name for name in theirs if not torch.equal(mine[name], theirs[name])] == []
    assert mine["uncertainty.weight"].any()
    resumed, unbroken = (torch.load(runs[name], weights_only=True)["snac_averages"] for name in ("resumed", "whole"))
    for average, expected in zip(resumed["weights"], unbroken["weights"], strict=True):
        assert [name for name in expected if not torch.equal(average[name], expected[name])] == []
    ours, whole = (
        {name: values for name, values in logged(runs["folder"] / part).items() if name.startswith("train/")}
        for part in ("parts", "whole")
    )
    assert ours == whole
    assert {"train/grad_norm", "train/weighed_loss"} <= whole.keys()
    assert list(whole["train/grad_norm_limit"]) == [2, 3, 4, 5]
    norms = whole["train/grad_norm"]
    assert any(norms[step] > limit for step, limit in whole["train/grad_norm_limit"].items()), "nothing was clipped"


@pytest.mark.slow
def test_a_run_without_an_option_does_not_go_on_with_it(runs: dict[str, Any], tmp_path: Path) -> None:
    """It would begin to learn in the middle, from nothing, without a word."""
    flags = prepare(tmp_path, head="logits")
    plain = run(flags, tmp_path / "run", "--max-steps", 1)
    for option in ("clip_grad_deviations", "uncertainty", "ema_lengths"):
        changed = prepare(tmp_path, {option: OPTIONS[option]}, head="logits")
        with pytest.raises(CheckpointError, match=option):
            run(changed, tmp_path / option, "--max-steps", 2, "--ckpt-path", plain)
