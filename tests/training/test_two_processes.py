"""Real trainings by two processes: what is not the same in both of them afterwards was never shared."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import logged, prepare, run

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_processes.py")


def environment() -> dict[str, str]:
    """Without what earlier trainings of this process left there."""
    return {name: value for name, value in os.environ.items() if name != "PL_GLOBAL_SEED"} | {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("kind", ["autoencoder", "diffusion_snac_dit"])
def test_two_processes_end_with_one_model(tmp_path: Path, kind: str) -> None:
    """A codec whose weights and codebooks start from data, and a model whose first phase leaves levels out."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kind, str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{kind}_{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["steps"] == second["steps"] > 0
    own = ("counts", "hits", "pool", "sums")  # what the running codebooks remember is gathered, and may be kept in any order
    apart = [name for name, weight in first["weights"].items() if not torch.equal(weight, second["weights"][name])]
    assert [name for name in apart if not name.endswith(own)] == []


LEARNT = {"uncertainty": True, "timestep_sampler": "time_warp", "timestep_sampler_options": {"warmup": 5}}
OPTIONS: dict[str, Any] = LEARNT | {"clip_grad_deviations": 6.0, "input_perturbation": 0.1, "ema_lengths": [0.1]}


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "options"])
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, options: dict[str, Any]) -> None:
    """Every loss and weight after twenty steps, with padding, corruption, dropped conditions and, first, levels that are left out.

    Noise was drawn by rank, and padding weighed by process. `--num-gpus 2` on CPUs trained one process without a word.
    """
    phases = [
        {"name": "B", "steps": 6, "levels": "B", "context": {"0": 1.0}},
        {"name": "all", "steps": None, "context": {"1": 1.0}},
    ]
    adam = {"type": "AdamW", "config": {"lr": 1e-3, "weight_decay": 0.5}}  # which zeros in place of no gradient would let go on
    changes: dict[str, Any] = {"curriculum": phases, "optimizer_configs": {"diffusion": {"optimizer": adam}}}
    changes |= {"corruption": 0.1, "p_one_shot": 0.1, "demo": {"demo_every": 1000, "demo_steps": 4, "num_demos": 1}}
    head = {"head": "logits"} if options else {}
    flags = [*prepare(tmp_path, changes | options, files=6, context_chunks=1, **head), "--accelerator", "cpu", "--max-steps", "20"]
    run(flags, tmp_path / "one", "--batch-size", 2, "--precision", "32-true")
    more = ["--num-gpus", "2", "--strategy", "ddp", "--batch-size", "1", "--precision", "32-true"]
    command = [sys.executable, "-m", "snac_plugin", "train", *flags, *more, "--save-dir", str(tmp_path / "two")]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    one, two = (logged(tmp_path / name) for name in ("one", "two"))
    losses = [name for name in one if name.startswith("train/loss")]
    assert len(losses) == 5
    assert len(one["train/loss_D"]) == 14
    for name in losses:
        assert one[name].keys() == two[name].keys()
        assert max(abs(one[name][step] - two[name][step]) for step in one[name]) < 1e-5, name
    mine, theirs = (
        torch.load(tmp_path / name / "checkpoints" / "step=00000020.ckpt", weights_only=True)["state_dict"]
        for name in ("one", "two")
    )
    assert max(float((mine[name] - theirs[name]).abs().max()) for name in mine) < 1e-5
