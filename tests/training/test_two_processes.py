"""Real trainings by two processes: what is not the same in both of them afterwards was never shared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.mark.parametrize("kind", ["autoencoder", "diffusion_snac_dit"])
def test_two_processes_end_with_one_model(tmp_path: Path, kind: str) -> None:
    """A codec whose weights and codebooks start from data, and a model whose first phase leaves levels out."""
    environment = {name: value for name, value in os.environ.items() if name != "PL_GLOBAL_SEED"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kind, str(tmp_path)],
        env=environment | {"OMP_WAIT_POLICY": "PASSIVE"},
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
