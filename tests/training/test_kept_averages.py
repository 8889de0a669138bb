"""From `train.py` with `training.ema_lengths` to a model of any length."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import prepare, run

from snac_plugin import load_model
from snac_plugin.checkpoints.ema_snapshots import factors, gamma_of
from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.cli import main
from snac_plugin.errors import CheckpointError, UsageError

STEPS = 6


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of six steps, each with a snapshot, though one checkpoint alone is kept."""
    folder = tmp_path_factory.mktemp("averages")
    flags = prepare(folder, {"ema_lengths": [0.05, 0.15], "learning_rate": 0.01}, head="logits")
    run([*flags, "--checkpoint-every", "1", "--save-top-k", "1"], folder / "run", "--max-steps", STEPS)
    return folder / "run"


def rebuilt(trained: Path, name: Path, length: float, *more: str) -> Any:
    arguments = ["ema", "--run", str(trained), "--length", str(length), "--name", str(name), "--use-safetensors", *more]
    assert main(arguments) == 0
    return load_model(name.with_suffix(".safetensors"))


@pytest.mark.slow
def test_each_checkpoint_leaves_a_snapshot(trained: Path) -> None:
    assert [path.name for path in sorted((trained / "ema").iterdir())] == [f"step={n:08d}.safetensors" for n in range(1, STEPS + 1)]
    assert len(list((trained / "checkpoints").glob("step=*.ckpt"))) == 1
    snapshot = load_file(trained / "ema" / f"step={STEPS:08d}.safetensors")
    tracked = torch.load(trained / "checkpoints" / f"step={STEPS:08d}.ckpt", weights_only=True)["snac_averages"]["weights"]
    for place in range(2):
        for name, value in tracked[place].items():
            assert torch.equal(snapshot[f"{place}/{name}"], value.half()), name
    first = read_checkpoint(trained / "checkpoints" / f"step={STEPS:08d}.ckpt", ema=False).state
    assert any(not torch.equal(first[name], tracked[0][name]) for name in tracked[0])


@pytest.mark.slow
def test_a_stored_length_comes_back_and_any_other_is_the_sum_that_the_factors_say(trained: Path, tmp_path: Path) -> None:
    tracked = torch.load(trained / "checkpoints" / f"step={STEPS:08d}.ckpt", weights_only=True)["snac_averages"]["weights"]
    stored = rebuilt(trained, tmp_path / "stored", 0.15).state_dict()
    for name, value in tracked[1].items():
        torch.testing.assert_close(stored[name], value, rtol=2e-3, atol=1e-6)
    other = rebuilt(trained, tmp_path / "other", 0.1)
    snapshots = [load_file(path) for path in sorted((trained / "ema").iterdir())]
    profiles = [(gamma_of(length), step) for step in range(1, STEPS + 1) for length in (0.05, 0.15)]
    found, _ = factors(profiles, (gamma_of(0.1), STEPS))
    name = next(iter(tracked[0]))
    expected = sum(float(x) * snapshots[i // 2][f"{i % 2}/{name}"].float() for i, x in enumerate(found))
    torch.testing.assert_close(other.state_dict()[name], expected, rtol=1e-4, atol=1e-6)
    assert other.generate(seed=1, steps=4, progress=False).isfinite().all()


@pytest.mark.slow
def test_an_earlier_step_takes_what_was_there_by_then(trained: Path, tmp_path: Path) -> None:
    early = rebuilt(trained / "ema", tmp_path / "early", 0.05, "--step", "3").state_dict()
    snapshot = load_file(trained / "ema" / "step=00000003.safetensors")
    for name in (name for name in snapshot if name.startswith("0/")):
        torch.testing.assert_close(early[name.removeprefix("0/")], snapshot[name].float(), rtol=2e-3, atol=1e-6)


@pytest.mark.slow
def test_the_result_may_be_a_folder_as_that_of_unwrap(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ema", "--run", str(trained), "--length", "0.1", "--name", str(tmp_path / "mine"), "--folder"]) == 0
    assert {"model.safetensors", "model_config.json"} <= {path.name for path in (tmp_path / "mine").iterdir()}
    assert f"model: {tmp_path / 'mine'}" in capsys.readouterr().out
    load_model(tmp_path / "mine")


@pytest.mark.slow
def test_a_new_run_beside_averages_of_an_earlier_one_is_refused(tmp_path: Path) -> None:
    """Whoever removes the checkpoints to start anew, as train.py advises, would get one model of the averages of both runs."""
    flags = prepare(tmp_path, {"ema_lengths": [0.1]}, head="logits")
    run(flags, tmp_path / "run", "--max-steps", 1)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UsageError, match=r"averages of an earlier run and no checkpoints.* or remove .*ema\."):
        run(flags, tmp_path / "run", "--max-steps", 1)
    shutil.rmtree(tmp_path / "run" / "ema")
    run(flags, tmp_path / "run", "--max-steps", 1)


@pytest.mark.slow
def test_what_snapshots_do_not_give_is_told(trained: Path, tmp_path: Path) -> None:
    from snac_plugin.checkpoints import ema_snapshots

    with pytest.raises(UsageError, match="step: found 9, expected a step with a snapshot: 1, 2, 3, 4, 5, 6"):
        ema_snapshots.rebuilt(trained, 0.1, 9)
    with pytest.raises(UsageError, match=r"length: found 0.005, expected one that 12 snapshots give: they miss .* by \d+%"):
        ema_snapshots.rebuilt(trained, 0.005)
    with pytest.raises(CheckpointError, match="no snapshots of averages, expected a run that was trained with ema_lengths"):
        ema_snapshots.rebuilt(tmp_path, 0.1)
