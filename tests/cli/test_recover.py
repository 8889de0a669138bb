"""Trainings that were stopped in every way go on as if they had not been: nothing lost, the same numbers, the same log."""

import json
import resource
import shutil
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import logged, prepare, run
from torch import Tensor

from snac_plugin.checkpoints.writing import WholeCheckpoints
from snac_plugin.cli.run_folder import checkpoints_in, newest_whole
from snac_plugin.errors import CheckpointError, LostData, UnwritableFile
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper

ACCUMULATE = ("--accum-batches", "2")


def weights(checkpoint: Path) -> dict[str, Tensor]:
    return torch.load(checkpoint, weights_only=False, map_location="cpu")["state_dict"]


def assert_equal(mine: Path, theirs: Path) -> None:
    ours, whole = weights(mine), weights(theirs)
    assert ours.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(ours[name], whole[name])] == []


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Flags, and the folder of a run of eight steps of two batches each, with a checkpoint every two."""
    folder = tmp_path_factory.mktemp("unbroken")
    flags = [*prepare(folder, files=4), *ACCUMULATE, "--checkpoint-every", "2", "--save-top-k", "-1"]
    run(flags, folder / "run", "--max-steps", 8)
    return flags, folder / "run"


@pytest.fixture(scope="module")
def adafactor(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Flags, and the folder of a run of two steps with Adafactor, with a checkpoint of each."""
    folder = tmp_path_factory.mktemp("adafactor")
    optimizer = {"diffusion": {"optimizer": {"type": "Adafactor", "config": {"lr": 1e-3}}}}
    flags = [*prepare(folder, {"optimizer_configs": optimizer, "learning_rate": None}), "--checkpoint-every", "1"]
    run(flags, folder / "run", "--max-steps", 2)
    return flags, folder / "run"


def killed_after(step: int, whole: Path, folder: Path) -> Path:
    """A run folder as kill -9 leaves it: with the checkpoint of a step, and no end."""
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(whole / "checkpoints" / f"step={step:08d}.ckpt", folder / "checkpoints")
    return folder


@pytest.mark.slow
def test_after_a_kill_weights_and_log_are_those_of_a_run_that_was_not(unbroken: tuple[list[str], Path], tmp_path: Path) -> None:
    """Each resumed run logged one step to the left, and took one batch too few into its first step."""
    flags, whole = unbroken
    expected = logged(whole)
    for step in (2, 4):
        folder = killed_after(step, whole, tmp_path / str(step))
        newest = run(flags, folder, "--max-steps", 6, "--recover", "true")
        assert newest.name == "step=00000006.ckpt"
        assert_equal(newest, whole / "checkpoints" / newest.name)
        assert len(checkpoints_in(folder / "checkpoints")) == 1 + (6 - step) // 2, "none twice"
        found = logged(folder)
        assert sorted(found["train/loss"]) == list(range(step, 6))
        for name, values in ((name, values) for name, values in found.items() if not name.startswith("speed/")):
            assert values == {at: expected[name][at] for at in values}, name
        again = killed_after(6, folder, tmp_path / f"{step} twice")
        assert sorted(logged(run(flags, again, "--max-steps", 8, "--recover", "true").parents[1])["train/loss"]) == [6, 7]
        assert_equal(again / "checkpoints" / "step=00000008.ckpt", whole / "checkpoints" / "step=00000008.ckpt")


@pytest.mark.slow
def test_other_data_than_an_unbroken_run_would_have_had_are_told(
    unbroken: tuple[list[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run went on with another batch size and seed as if nothing were; a checkpoint of an earlier version knows no better.

    A learning rate stayed as it was without a word.
    """
    flags, whole = unbroken
    config = json.loads(Path(flags[1]).read_text())
    config["training"]["learning_rate"] = 1.0
    (tmp_path / "model.json").write_text(json.dumps(config))
    other = ["--recover", "true", "--batch-size", 3, "--seed", 7, "--accum-batches", 1, "--model-config", tmp_path / "model.json"]
    said = (
        "--batch-size is 3 and was 2, --accum-batches is 1 and was 2, --seed is 7 and was 42, the number of tracks in the data is 5"
    )
    for name, more, warned in (("same", ["--recover", "true"], False), ("other", other, True), ("old", other, False)):
        folder = killed_after(2, whole, tmp_path / name)
        if name == "other":
            shutil.copy(whole.parent / "audio" / "0.wav", whole.parent / "audio" / "new.wav")
        if name == "old":
            (saved,) = checkpoints_in(folder / "checkpoints")
            content = torch.load(saved, weights_only=False)
            del content["decides_data"]
            torch.save(content, saved)
        caplog.clear()
        newest = run(flags, folder, "--max-steps", 3, *more)
        told = [text for text in caplog.messages if "not those of an unbroken run" in text]
        assert told == [f"From here on data or noise are not those of an unbroken run: {said} and was 4"] * warned
        (whole.parent / "audio" / "new.wav").unlink(missing_ok=True)
        assert ("training.learning_rate is 1.0 and was 0.001" in caplog.text) == (name != "same")
        (optimizer,) = torch.load(newest, weights_only=False)["optimizer_states"]
        assert [group["lr"] for group in optimizer["param_groups"]] == [0.001]
    assert torch.load(newest, weights_only=False)["decides_data"]["batch_size"] == 3


@pytest.mark.slow
def test_lost_data_saves_a_checkpoint_and_the_run_goes_on_when_it_is_back(
    unbroken: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flags, whole = unbroken
    audio, step = whole.parent / "audio", SnacDiffusionTrainingWrapper.training_step
    batches: list[int] = []

    def vanishing(self: SnacDiffusionTrainingWrapper, batch: Any, batch_idx: int) -> Tensor:
        batches.append(batch_idx)
        if len(batches) == 2:
            audio.rename(audio.with_name("elsewhere"))
        return step(self, batch, batch_idx)

    never = [*flags, "--checkpoint-every", "1000"]
    with monkeypatch.context() as patched:
        patched.setattr(SnacDiffusionTrainingWrapper, "training_step", vanishing)
        with pytest.raises(LostData, match=rf"{audio}: found nothing, where there were files"):
            run(never, tmp_path / "run", "--max-steps", 1000)
    audio.with_name("elsewhere").rename(audio)
    (saved,) = checkpoints_in(tmp_path / "run" / "checkpoints")
    assert f"Saved {saved}; --recover goes on from there when the data is back" in caplog.text
    assert 1 <= torch.load(saved, weights_only=False)["global_step"] < 8
    newest = run(never, tmp_path / "run", "--max-steps", 8, "--recover", "true")
    assert_equal(newest, whole / "checkpoints" / "step=00000008.ckpt")


@pytest.mark.slow
def test_a_job_that_is_ended_saves_its_step_and_goes_on_from_there(
    unbroken: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SLURM and spot instances end it, in the middle of a step: what is missing to the whole run is trained afterwards."""
    flags, whole = unbroken
    step = SnacDiffusionTrainingWrapper.training_step

    def ended(self: SnacDiffusionTrainingWrapper, batch: Any, batch_idx: int) -> Tensor:
        if (self.global_step, batch_idx % 2) == (2, 0):  # a second one would abort
            signal.raise_signal(signal.SIGTERM)
        return step(self, batch, batch_idx)

    never = [*flags, "--checkpoint-every", "1000"]
    with monkeypatch.context() as patched:
        patched.setattr(SnacDiffusionTrainingWrapper, "training_step", ended)
        saved = run(never, tmp_path / "run", "--max-steps", 1000)
    assert saved.name == "step=00000003.ckpt"
    newest = run(never, tmp_path / "run", "--max-steps", 8, "--recover", "true")
    assert_equal(newest, whole / "checkpoints" / "step=00000008.ckpt")


@pytest.mark.slow
def test_recover_takes_the_newest_whole_checkpoint_and_says_which_it_left(
    unbroken: tuple[list[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An unattended restart stopped at a half file. A flipped byte would have been trained on."""
    flags, whole = unbroken
    folder = killed_after(2, whole, tmp_path / "run")
    for step in (4, 6, 8):
        shutil.copy(whole / "checkpoints" / f"step={step:08d}.ckpt", folder / "checkpoints")
    newest, second, third, oldest = checkpoints_in(folder / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-1000])
    with zipfile.ZipFile(second) as file:
        weight = max(file.infolist(), key=lambda part: part.file_size)
    content = bytearray(second.read_bytes())
    content[weight.header_offset + weight.file_size // 2] ^= 1
    second.write_bytes(content)
    third.write_bytes(b"")
    with caplog.at_level("INFO"):
        assert run(flags, folder, "--max-steps", 3, "--recover", "true").name == "step=00000003.ckpt"
    assert f"Left out {newest}: a file that was cut off" in caplog.text
    assert f"Left out {second}: a damaged file" in caplog.text
    assert f"Left out {third}: an empty file" in caplog.text
    assert f"Going on from {oldest}" in caplog.text
    for path in checkpoints_in(folder / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="found 5 checkpoints, none of which is whole"):
        run(flags, folder, "--recover", "true")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("state", {"exp_avg": torch.ones(3, 3)}),
        ("state", {"exp_avg": torch.tensor(torch.nan)}),
        ("state", {"other": 1}),
        ("state", {"exp_avg_sq": 7}),
        ("state", "no state at all"),
        ("param_groups", {"capturable": True}),
    ],
)
def test_what_optimizers_remember_must_fit_the_weights(
    unbroken: tuple[list[str], Path], tmp_path: Path, part: str, changed: Any
) -> None:
    """It failed within the first step, in what torch raised, or trained on with NaN."""
    flags, whole = unbroken
    content = torch.load(whole / "checkpoints" / "step=00000002.ckpt", weights_only=False)
    entries = content["optimizer_states"][0][part]
    place = 0 if part == "param_groups" else next(at for at, state in entries.items() if state["exp_avg"].ndim == 2)
    entries[place] = {**entries[place], **changed} if isinstance(changed, dict) else changed
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt: found (optimizers (that|with)|exp_avg of|the state of another)"):
        run(flags, tmp_path / "run", "--max-steps", 4, "--ckpt-path", tmp_path / "other.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("row_var", None, None),
        ("row_var", torch.ones(3, 3), "row_var of an optimizer"),
        ("variance", torch.tensor([torch.nan]), "variance of an optimizer"),
        ("other", torch.ones(1), "optimizers that remember other things of some weights"),
    ],
)
def test_adafactor_goes_on(
    adafactor: tuple[list[str], Path], tmp_path: Path, name: str, changed: Tensor | None, message: str | None
) -> None:
    """It remembers rows and columns of matrices and all of vectors, which were taken for the state of something else."""
    flags, whole = adafactor
    content = torch.load(whole / "checkpoints" / "step=00000001.ckpt", weights_only=False)
    states = content["optimizer_states"][0]["state"].values()
    if message is None:
        assert {"row_var", "variance"} <= {key for state in states for key in state}
        newest = run(flags, tmp_path / "run", "--max-steps", 2, "--ckpt-path", whole / "checkpoints" / "step=00000001.ckpt")
        assert_equal(newest, whole / "checkpoints" / "step=00000002.ckpt")
        return
    next(state for state in states if name == "other" or (name in state and state[name].ndim <= 2))[name] = changed
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=rf"other\.ckpt: found {message}"):
        run(flags, tmp_path / "run", "--max-steps", 2, "--ckpt-path", tmp_path / "other.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("optimizer_states", "loops"), r"found no loops, optimizer_states, expected a checkpoint that a training wrote"),
        (("pytorch-lightning_version",), r"found no pytorch-lightning_version.*--pretrained-ckpt-path"),
        ((), r"found the state of another training \(.*parameter group.*\), expected that of this model config's optimizers"),
    ],
)
def test_a_checkpoint_whose_training_cannot_go_on_is_told(
    unbroken: tuple[list[str], Path], tmp_path: Path, changed: tuple[str, ...], message: str
) -> None:
    """Without its loops it went on from step 0 without a word; of other optimizers it ended in what torch raised."""
    flags, whole = unbroken
    content = torch.load(whole / "checkpoints" / "step=00000002.ckpt", weights_only=False)
    content = {key: value for key, value in content.items() if key not in changed}
    if not changed:
        content["optimizer_states"][0]["param_groups"][0]["params"] = [0]
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=message):
        run(flags, tmp_path / "run", "--max-steps", 4, "--ckpt-path", tmp_path / "other.ckpt")
    assert not changed or not (tmp_path / "run").exists(), "nothing began"


def test_a_checkpoint_that_cannot_be_written_whole_leaves_the_one_before(tmp_path: Path) -> None:
    """A full disk, here a limit on the size of files: Lightning left a half file under the final name."""
    path, small = tmp_path / "checkpoints" / "step=00000001.ckpt", {"weights": torch.ones(10)}
    WholeCheckpoints().save_checkpoint(small, str(path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UnwritableFile, match=r"step=00000001\.ckpt: found no way to write it .*Make room"):
            WholeCheckpoints().save_checkpoint({"weights": torch.ones(100_000)}, str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert newest_whole([path]) == path
    assert torch.equal(torch.load(path)["weights"], small["weights"])
