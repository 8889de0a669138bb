"""The benchmarks run, from arguments to tables, on sizes that take seconds: a script that nobody runs rots.

What they measure is checked where it can be known: both sides agree, a seam is seen.
"""

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmark_runs import COMMON, FRAME, NETWORK, RATE, WINDOW, results

pytestmark = pytest.mark.slow


def test_training_speed(tmp_path: Path) -> None:
    """All three ways run, and a pass a stage gives what one pass gives: else it would compare different things."""
    import training_speed

    training_speed.main([*NETWORK, *COMMON, "--repeats", "2", "--retries", "0", "--out", str(tmp_path)])
    found = results(tmp_path, "training_speed")
    assert {*training_speed.SIDES} <= set(found["sides"]) <= {*training_speed.SIDES, training_speed.ROUNDED}
    assert found["difference"] < 1e-4
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["shares"]["matrix products"] > 0
    assert found["shares"]["attention"] > 0


def test_operators_are_told_apart() -> None:
    from training_speed import kind_of

    assert kind_of("aten::addmm") == "matrix products"
    assert kind_of("aten::addcmul") == "modulation, gates, activations, rotary"
    assert kind_of("aten::_scaled_dot_product_flash_attention_for_cpu_backward") == "attention"
    assert kind_of("aten::copy_") == "copies"
    assert kind_of("autograd::engine::evaluate_function: AddmmBackward0") == "the rest"


def test_generation_speed(tmp_path: Path) -> None:
    """Both ways generate the same codes, guided or not, in the number of steps asked for."""
    import generation_speed

    generation_speed.main([*NETWORK, *COMMON, "--steps", "8", "--repeats", "1", "--retries", "0", "--out", str(tmp_path)])
    sides = results(tmp_path, "generation_speed")["sides"]
    assert len(sides) == 4
    assert all(side["difference"] < 1e-3 and side["equal_codes"] == 1 for side in sides.values())


def test_token_speed(tmp_path: Path) -> None:
    """Eight ways to make tokens, each trained and generated with; the first is what the others are compared with."""
    import token_speed

    token_speed.main([*NETWORK, *COMMON, "--steps", "4", "--repeats", "1", "--retries", "0", "--out", str(tmp_path)])
    sides = results(tmp_path, "token_speed")["sides"]
    assert len(sides) == 16
    assert sides["1, 1, 1, 1, token, step"]["speed_up"] == sides["1, 1, 1, 1, token, chunk"]["speed_up"] == 1


def test_chunk_cost(music: SimpleNamespace, tmp_path: Path) -> None:
    import chunk_cost

    chunk_cost.main([*COMMON, "--model-config", str(music.config), "--chunks", "7", "--steps", "4", "--out", str(tmp_path)])
    found = results(tmp_path, "chunk_cost")
    assert len(found["chunks"]) == 7
    assert all(chunk["seconds"] > 0 for chunk in found["chunks"])


def test_growth_is_the_slope() -> None:
    from chunk_cost import growth

    slope, error = growth([1.0, 3.0, 5.0, 7.0])
    assert slope == pytest.approx(2)
    assert error == pytest.approx(0, abs=1e-9)


def test_peak_memory_sees_what_a_run_needs() -> None:
    """And not what was freed before it."""
    import timing

    needed = timing.peak_memory(lambda: torch.ones(16 * 2**20).sum(), torch.device("cpu"))
    if needed is None:
        pytest.skip("this system does not tell")
    assert 60 < needed < 100


def test_a_run_that_others_kept_from_the_cores_is_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Low CPU time alone may be the run's own doing; on two cores another process must have taken one."""
    import timing

    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert timing.Run(wall=1, cpu=1.5, others=0.5, threads=2).disturbed
    assert not timing.Run(wall=1, cpu=1.5, others=0.05, threads=2).disturbed
    assert not timing.Run(wall=1, cpu=1.95, others=0.5, threads=2).disturbed
    assert timing.Run(wall=1, cpu=1.5, others=None, threads=2).disturbed


def test_context(music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both trainings run through the trainer and are tested at the ends of their phases; a second call only reads."""
    import context
    import small_trainings

    data = ["--model-config", music.config, "--codes", music.codes, "--held-out", music.codes, "--out", tmp_path]
    flags = [*map(str, data), *NETWORK, *COMMON, "--steps", "8", "--noise-levels", "0.3", "0.8"]
    context.main(flags)
    found = results(tmp_path, "context")
    assert list(found["supervised_codes"]) == ["1", "2", "8"]
    assert found["supervised_codes"]["8"] == 8 * 4 * 15 * WINDOW
    assert len(found["losses"]) == 6
    values = torch.tensor(found["losses"]["curriculum, 8"]["values"])
    assert values.shape == (3, 4, 2, 4)
    assert values.isfinite().all()
    monkeypatch.setattr(small_trainings, "train", None)
    monkeypatch.setattr(context, "evaluate", None)
    context.main(flags)
    monkeypatch.undo()


def test_windows_are_spread_over_a_song() -> None:
    from context_losses import windows_of
    from songs import Song

    windows = windows_of([Song(torch.arange(30).expand(15, -1), Path())], 3, 10)
    assert windows[0, :, 0, 0].tolist() == [0, 10, 20]


def test_continuations(held_out: list[str], tmp_path: Path) -> None:
    """Every table is filled, and the plot is drawn."""
    import continuations

    continuations.main([*held_out, "--chunks", "4", "--steps", "4"])
    found = results(tmp_path, "continuations")
    assert set(found["by_chunk"]) >= {"level, generated", "brightness, real", "loss, generated"}
    assert torch.tensor(found["by_chunk"]["loss, real"]).shape == (4, 4)
    assert len(found["seam"]) == 4
    assert (tmp_path / "seam.png").stat().st_size > 0


def test_gaps(held_out: list[str], tmp_path: Path) -> None:
    """A loss for each way, noise level, window and level."""
    import gaps

    gaps.main([*held_out, "--windows", "1"])
    found = results(tmp_path, "gaps")["losses"]
    assert {tuple(torch.tensor(values).shape) for values in found.values()} == {(3, 4, 4)}


def test_a_seam_is_seen_and_none_is_not() -> None:
    """Noise that jumps to another filter at borders has a seam, steady noise has none."""
    import spectral_flux

    rng = np.random.default_rng(0)
    steady = rng.standard_normal(8 * RATE)
    jumping = steady.copy()
    borders = np.arange(RATE, 8 * RATE, RATE)
    for border in borders:
        jumping[border - 400 : border] = 0
    ratios = []
    for audio in (steady, jumping):
        values = spectral_flux.flux(audio)
        within = spectral_flux.flux_at(values, spectral_flux.inside(borders, len(audio), RATE, FRAME), RATE).mean()
        ratios.append(spectral_flux.flux_at(values, borders, RATE).mean() / within)
    assert ratios[0] == pytest.approx(1, abs=0.05)
    assert ratios[1] > 1.5


def test_lora(tmp_path: Path, music: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides train; adapters are few weights of the same model, and a small file."""
    import lora

    def here(flags: list[str]) -> dict[str, float]:
        """A side in this process: one of its own is for the memory that is measured."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            lora.main(flags)
        return json.loads(printed.getvalue().splitlines()[-1])

    monkeypatch.setattr(lora, "_in_a_process", here)
    size = ["--model-config", str(music.config), "--rank", "2", "--repeats", "1", "--retries", "0"]
    lora.main([*COMMON, *size, "--out", str(tmp_path)])
    whole, adapters = (results(tmp_path, "lora")["sides"][side] for side in lora.SIDES)
    assert whole["weights that learn, M"] == whole["weights in all, M"]
    learn = adapters["weights that learn, M"]
    assert 0 < learn < 0.5 * whole["weights that learn, M"]
    assert adapters["weights in all, M"] == pytest.approx(whole["weights in all, M"] + learn)
    assert adapters["what is handed on, MB"] < whole["what is handed on, MB"]
