"""Real trainings by two processes: what is not the same in both of them afterwards was never shared."""

import json
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
LEARNT = {"uncertainty": True, "timestep_sampler": "time_warp", "timestep_sampler_options": {"warmup": 5}}
OPTIONS: dict[str, Any] = LEARNT | {"clip_grad_deviations": 6.0, "input_perturbation": 0.1, "ema_lengths": [0.1]}
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "options": OPTIONS}


def flags_of(folder: Path, options: dict[str, Any]) -> list[str]:
    """Twenty steps with padding, corruption, dropped conditions and, first, levels that are left out."""
    phases = [
        {"name": "B", "steps": 6, "levels": "B", "context": {"0": 1.0}},
        {"name": "all", "steps": None, "context": {"1": 1.0}},
    ]
    adam = {"type": "AdamW", "config": {"lr": 1e-3, "weight_decay": 0.5}}  # which zeros in place of no gradient would let go on
    changes: dict[str, Any] = {"curriculum": phases, "optimizer_configs": {"diffusion": {"optimizer": adam}}}
    changes |= {"corruption": 0.1, "p_one_shot": 0.1, "demo": {"demo_every": 1000, "demo_steps": 4, "num_demos": 1}}
    head = {"head": "logits"} if options else {}
    folder.mkdir()
    prepared = prepare(folder, changes | options, files=6, context_chunks=1, **head)
    return [*prepared, "--accelerator", "cpu", "--max-steps", "20", "--precision", "32-true"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes, started once, have trained all that is looked at here."""
    folder = tmp_path_factory.mktemp("two")
    commands = [
        [*flags_of(folder / name, options), "--num-gpus", "2", "--strategy", "ddp", "--batch-size", "1",
         "--save-dir", str(folder / name / "two")]
        for name, options in KINDS.items()
    ]  # fmt: skip
    (folder / "commands.json").write_text(json.dumps(commands))
    clean = {name: value for name, value in os.environ.items() if name != "PL_GLOBAL_SEED"}  # what earlier trainings left
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        cwd=folder,
        env=clean | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("kind", ["autoencoder", "diffusion_snac_dit"])
def test_two_processes_end_with_one_model(trained: Path, kind: str) -> None:
    """A codec whose weights and codebooks start from data, and a model whose first phase leaves levels out."""
    first, second = (torch.load(trained / f"{kind}_{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["steps"] == second["steps"] > 0
    own = ("counts", "hits", "pool", "sums")  # what the running codebooks remember is gathered, and may be kept in any order
    apart = [name for name, weight in first["weights"].items() if not torch.equal(weight, second["weights"][name])]
    assert [name for name in apart if not name.endswith(own)] == []


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_as_one_with_twice_the_batch(trained: Path, name: str) -> None:
    """Every loss and weight after twenty steps. Noise was drawn by rank, and padding weighed by process.

    `--num-gpus 2` on CPUs trained one process without a word.
    """
    folder = trained / name
    flags = ["--model-config", str(folder / "model.json"), "--dataset-config", str(folder / "dataset.json"), "--max-steps", "20"]
    run(flags, folder / "one", "--batch-size", 2, "--precision", "32-true")
    one, two = (logged(folder / each) for each in ("one", "two"))
    losses = [loss for loss in one if loss.startswith("train/loss")]
    assert len(losses) == 5
    assert len(one["train/loss_D"]) == 14
    for loss in losses:
        assert one[loss].keys() == two[loss].keys()
        assert max(abs(one[loss][step] - two[loss][step]) for step in one[loss]) < 1e-5, loss
    mine, theirs = (
        torch.load(folder / each / "checkpoints" / "step=00000020.ckpt", weights_only=True)["state_dict"] for each in ("one", "two")
    )
    assert max(float((mine[weight] - theirs[weight]).abs().max()) for weight in mine) < 1e-5
