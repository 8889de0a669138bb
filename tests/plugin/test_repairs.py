"""Each repair beside the defect that it mends: `__wrapped__` is stable-audio-tools' own code."""

import inspect
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from plain_stable_audio import SAMPLE_RATE, SAMPLE_SIZE, audio_folder, diffusion_cond
from stable_audio_tools.data.dataset import create_dataloader_from_config
from stable_audio_tools.models import create_model_from_config
from stable_audio_tools.models.conditioners import Conditioner, MultiConditioner
from stable_audio_tools.training import (
    arc,
    autoencoders,
    create_demo_callback_from_config,
    create_training_wrapper_from_config,
    diffusion,
    utils,
)

from snac_plugin import register
from snac_plugin.plugin.repairs import REPAIRS, _wrap_mask

register()

INVERSE_LR = {"type": "InverseLR", "config": {"inv_gamma": 1000000, "power": 0.5, "warmup": 0.99}}

# The repository's head calls itself by the same version and has mended these.
of_the_package = pytest.mark.skipif("verbose" not in inspect.signature(utils.InverseLR).parameters, reason="mended in this version")


def make_optimizer() -> torch.optim.Optimizer:
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@of_the_package
def test_defect_inverse_lr_fails_with_this_torch() -> None:
    repaired = utils.InverseLR.__bases__
    utils.InverseLR.__bases__ = repaired[0].__bases__
    try:
        with pytest.raises(TypeError, match="positional"):
            utils.create_scheduler_from_config(INVERSE_LR, make_optimizer())
    finally:
        utils.InverseLR.__bases__ = repaired


def test_inverse_lr_follows_its_formula() -> None:
    optimizer = make_optimizer()
    scheduler = utils.create_scheduler_from_config(INVERSE_LR, optimizer)
    for step in range(3):
        expected = (1 - 0.99 ** (step + 1)) * (1 + step / 1000000) ** -0.5
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
        optimizer.step()
        scheduler.step()
    again = utils.create_scheduler_from_config(INVERSE_LR, make_optimizer())
    again.load_state_dict(scheduler.state_dict())
    assert again.last_epoch == 3, "a training could not be resumed"


class Echo(Conditioner):
    """Returns what it is given."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def forward(self, x: Any, device: Any = None) -> Any:
        return x


@of_the_package
def test_defect_lists_are_cut_to_their_first_element() -> None:
    multi = MultiConditioner({"chords": Echo()})
    assert type(multi).forward.__wrapped__(multi, [{"chords": ["C", "F", "G"]}], "cpu") == {"chords": ["C"]}


def test_lists_reach_their_conditioner_whole() -> None:
    multi = MultiConditioner({"chords": Echo(), "key": Echo(), "tempo": Echo(), "loop": Echo()}, default_keys={"loop": "chords"})
    batch = [
        {"chords": ["C", "F", "G"], "key": ["C"], "tempo": 120, "other": ["x", "y"]},
        {"chords": [], "key": ("D",), "tempo": 90},
    ]
    assert multi(batch, "cpu") == {
        "chords": [["C", "F", "G"], []],
        "key": ["C", "D"],  # collation wraps single values, and they are still unwrapped
        "tempo": [120, 90],
        "loop": [["C", "F", "G"], []],
    }
    assert batch[0]["chords"] == ["C", "F", "G"], "the caller's metadata was changed"


def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], steps: int = 2) -> pl.LightningModule:
    """Train as stable-audio-tools' train.py does, on the CPU; demos go to the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audio").mkdir()
    dataset = audio_folder(tmp_path / "audio")
    loader = create_dataloader_from_config(
        dataset, batch_size=2, num_workers=1, sample_rate=SAMPLE_RATE, sample_size=SAMPLE_SIZE, audio_channels=1
    )
    wrapper = create_training_wrapper_from_config(config, create_model_from_config(config))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        callbacks=[create_demo_callback_from_config(config, demo_dl=loader)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(wrapper, loader)
    assert trainer.global_step == steps
    return wrapper


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_plain_model_trains_from_an_audio_folder_with_the_documented_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    before = create_model_from_config(diffusion_cond()).state_dict()
    torch.manual_seed(0)
    wrapper = train(tmp_path, monkeypatch, diffusion_cond())
    moved = [name for name, value in wrapper.diffusion.state_dict().items() if not torch.equal(value, before[name])]
    assert moved, "two steps changed no weight"
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["demo_cfg_1_00000001.wav", "demo_cfg_1_00000002.wav"]


@pytest.mark.slow
@of_the_package
@pytest.mark.filterwarnings("ignore")
def test_defect_training_from_an_audio_folder_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = diffusion.DiffusionCondTrainingWrapper.training_step
    monkeypatch.setattr(diffusion.DiffusionCondTrainingWrapper, "training_step", step.__wrapped__)
    with pytest.raises((ValueError, RuntimeError, NotImplementedError)):
        train(tmp_path, monkeypatch, diffusion_cond())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_inpainting_model_trains_and_makes_demos_from_an_audio_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, monkeypatch, inpainting())
    assert list(tmp_path.glob("demo_cfg_1_*.wav"))


def inpainting() -> dict[str, Any]:
    config = diffusion_cond()
    config["model_type"] = "diffusion_cond_inpaint"
    config["model"]["diffusion"]["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
    config["model"]["diffusion"]["config"]["input_concat_dim"] = 33
    config["training"]["inpainting"] = {"mask_kwargs": {}}
    config["training"]["demo"].pop("demo_cond")
    return config


def test_masks_are_wrapped_once_and_the_batch_is_left_alone() -> None:
    mask = torch.ones(8)
    metadata = ({"padding_mask": mask, "key": 1}, {"padding_mask": [mask]}, {"key": 2})
    reals, wrapped = _wrap_mask((mask, metadata))
    assert reals is mask
    assert [item.get("padding_mask") for item in wrapped] == [[mask], [mask], None]
    assert metadata[0]["padding_mask"] is mask


def broken_callback(cls: type) -> Any:
    """A demo callback whose first look at its settings fails."""
    callback = cls.__new__(cls)
    callback.demo_every, callback.last_demo_step = 1, -1
    return callback


CALLBACKS = [
    diffusion.DiffusionCondDemoCallback,
    diffusion.DiffusionCondInpaintDemoCallback,
    autoencoders.AutoencoderDemoCallback,
]


@pytest.mark.parametrize("cls", CALLBACKS)
def test_a_failed_demo_is_logged_and_training_goes_on(cls: type, caplog: pytest.LogCaptureFixture) -> None:
    module = torch.nn.Module().eval()
    trainer = SimpleNamespace(global_step=7)
    with caplog.at_level(logging.ERROR):
        broken_callback(cls).on_train_batch_end(trainer, module, None, None, 0)
    assert "demo at step 7 failed" in caplog.text
    assert "Traceback" in caplog.text
    assert module.training, "the model stayed in evaluation mode"


@pytest.mark.parametrize("cls", CALLBACKS)
def test_defect_a_failed_demo_ends_the_training(cls: Any) -> None:
    with pytest.raises(AttributeError):
        cls.on_train_batch_end.__wrapped__(broken_callback(cls), SimpleNamespace(global_step=7), torch.nn.Module(), None, None, 0)


def test_an_interrupt_during_a_demo_still_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = broken_callback(diffusion.DiffusionCondDemoCallback)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        callback.on_train_batch_end(SimpleNamespace(global_step=7), SimpleNamespace(eval=interrupt), None, None, 0)


def test_repairing_again_changes_nothing() -> None:
    modules = {module.__name__: module for module in (utils, diffusion, arc, autoencoders)}

    def methods() -> list[Any]:
        return [
            utils.InverseLR.__bases__,
            diffusion.DiffusionCondTrainingWrapper.training_step,
            arc.ARCTrainingWrapper.training_step,
            *[callback.on_train_batch_end for callback in CALLBACKS],
        ]

    before = methods()
    assert all(hasattr(method, "__wrapped__") for method in before[1:])
    for name, repair in REPAIRS:
        if name in modules:
            repair(modules[name])
    assert methods() == before
