"""Training of masked codes through `train.py`'s own code."""

from pathlib import Path

import pytest
import torch
from small_runs import prepare, run
from test_wrapper import EVERYTHING_RANDOM, weights


@pytest.mark.slow
def test_a_resumed_training_of_masked_codes_is_one_that_was_not_stopped(tmp_path: Path) -> None:
    """Bit for bit, its MASK vectors among the weights, which all learn."""
    settings = EVERYTHING_RANDOM | {"timestep_sampler": {"A": "cosine"}}
    flags = prepare(tmp_path, settings, objective="masked", context_chunks=1, dropout=0.1, head="logits")
    whole = weights(run(flags, tmp_path / "whole", "--max-steps", 6))
    begun = weights(run(flags, tmp_path / "parts", "--max-steps", 3))
    torch.manual_seed(99)
    resumed = weights(run(flags, tmp_path / "parts", "--max-steps", 6, "--recover", "true"))
    assert [name for name in whole if not torch.equal(resumed[name], whole[name])] == []
    learned = [name for name in whole if ".mask_vectors." in name and not torch.equal(begun[name], whole[name])]
    assert len(learned) == 2 * 4  # with the averaged ones
