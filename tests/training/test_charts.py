"""Charts beside the loss say what they are named for; the checkpoint that validates best is kept."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_runs import logged, prepare, run

from snac_plugin import load_model
from snac_plugin.training.charts import WORSE, KeepBest, codes_used, losses_by_noise
from snac_plugin.training.stage_losses import CodeLosses


def test_losses_by_noise_are_means_of_the_codes_at_that_noise() -> None:
    """Two samples of two chunks of 2 and 3 frames, of which the last is padding; levels of 1 and 2 codes a frame."""
    generator = torch.Generator().manual_seed(0)
    losses = [torch.rand(2, 5 * count, generator=generator) for count in (1, 2)]
    t = torch.tensor([[[0.05, 0.95], [0.31, 0.32]], [[0.07, 1.0], [0.39, 0.01]]])
    counted = torch.ones(2, 5, dtype=torch.bool)
    counted[1, 4] = False
    found = losses_by_noise(CodeLosses(losses, counted, [1, 2], [], (0, 1), t, [2, 3]), "AB")
    a, b = losses
    expected = {
        "noise/A_0.0": torch.cat([a[0, :2], a[1, :2]]),
        "noise/A_0.3": torch.cat([a[0, 2:], a[1, 2:4]]),
        "noise/B_0.9": torch.cat([b[0, :4], b[1, :4]]),
        "noise/B_0.3": b[0, 4:],
        "noise/B_0.0": b[1, 4:8],
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.allclose(found[name], values.mean()), name


def test_codes_used_is_their_number_where_all_are_as_likely() -> None:
    even, one = torch.zeros(1, 4, 64), torch.full((1, 4, 64), -1e4).index_fill(2, torch.tensor([3]), 0.0)
    two = torch.full((1, 2, 64), -1e4)
    two[0, 0, 1] = two[0, 1, 2] = 0.0
    found = codes_used(CodeLosses([], None, [], [even, one, two], (0, 1, 3), torch.zeros(1, 1, 4), [4]), "ABCD")
    assert {name: round(float(value), 3) for name, value in found.items()} == {
        "codes/used_A": 64.0,
        "codes/used_B": 1.0,
        "codes/used_D": 2.0,
    }


@pytest.mark.slow
def test_a_training_writes_the_charts_and_keeps_its_best(tmp_path: Path) -> None:
    flags = prepare(tmp_path, {"clip_grad_norm": 0.001}, head="logits")
    newest = run(flags, tmp_path / "run", "--max-steps", 4, "--val-every", 2, "--val-dataset-config", tmp_path / "dataset.json")
    charts = logged(tmp_path / "run")
    assert sorted(charts["train/grad_norm"]) == [0, 1, 2, 3]
    assert min(charts["train/grad_norm"].values()) > 0.001, "as it was before clipping"
    assert sorted(charts["codes/used_A"]) == [0]
    assert 1 <= charts["codes/used_A"][0] <= 4096
    assert {name[:8] for name in charts if name.startswith("noise/")} == {f"noise/{name}_" for name in "ABCD"}
    assert all(value > 0 for value in charts["speed/audio_seconds_per_second"].values())
    best = newest.with_name("best.ckpt")
    assert load_model(best).sample_size == load_model(newest).sample_size
    steps = sorted(charts["val/avg_loss"], key=charts["val/avg_loss"].__getitem__)
    assert torch.load(best, weights_only=True)["global_step"] - 1 == steps[0]


def test_validations_without_a_better_one_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved: list[Path] = []
    keep, trainer = KeepBest(tmp_path), SimpleNamespace(sanity_checking=False, is_global_zero=True, save_checkpoint=saved.append)
    with caplog.at_level(logging.WARNING):
        for step, loss in enumerate([3.0, 2.0, *[2.5] * WORSE]):
            trainer.callback_metrics, trainer.global_step = {"val/avg_loss": torch.tensor(loss)}, step
            resumed = KeepBest(tmp_path)
            resumed.load_state_dict(keep.state_dict())
            keep = resumed
            keep.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert saved == [tmp_path / "best.ckpt"] * 2
    assert caplog.text.count("was lowest at step 1 (2.0000) and has not been lower in 5 validations") == 1
