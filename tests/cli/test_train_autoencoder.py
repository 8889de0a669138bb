"""`train.py` with a SNAC codec: stable-audio-tools' own autoencoder trainer, from config to a folder that SNAC loads."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from codec_runs import CODEC, codec_config, prepare, without_discriminator
from small_runs import logged, run
from snac import SNAC
from stable_audio_tools.models import create_model_from_config
from tiny import write_tiny_codec

from snac_plugin import register
from snac_plugin.cli import export_codec, main
from snac_plugin.cli.lightning_trainer import strategy
from snac_plugin.codec.load import load_codec
from snac_plugin.codec_training.encoder_decoder import snac_of
from snac_plugin.errors import CheckpointError, ConfigError, UsageError

pytestmark = pytest.mark.slow

register()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codec")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """Four steps with the discriminator: two of the codec, two of the discriminator; a demo after the first."""
    return run(prepare(folder, codec_config()), folder / "run", "--max-steps", 4, "--val-every", 4,
               "--val-dataset-config", folder / "dataset.json")  # fmt: skip


def state(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]


def test_losses_codes_and_demos_are_reported_by_level(trained: Path) -> None:
    values = logged(trained.parents[1])
    for level in "ABC":
        for what in ("perplexity", "used", "revived"):
            assert f"train/{level}_{what}" in values
        assert all(1 <= spread <= 64 for spread in values[f"train/{level}_perplexity"].values())
        assert f"val/{level}_perplexity" in values
    for name in ("loss", "mrstft_loss", "commitment_loss", "centring_loss", "codebook_loss", "discriminator_loss", "loss_adv"):
        assert f"train/{name}" in values, name
    assert all(distance > 0 for distance in values["val/log_mel_db"].values())
    demos = trained.parents[1] / "demos" / "step_00000001"
    assert sorted(path.name for path in demos.iterdir()) == [f"round_trip_0.{ending}" for ending in ("json", "png", "wav")]


def test_codec_discriminator_and_average_learn(trained: Path, folder: Path) -> None:
    """Codebooks, encoder, projections, decoder: a part that no loss reaches would stay where it began."""
    one = run(prepare(folder / "one", codec_config()), folder / "one" / "run", "--max-steps", 1)
    before, after = state(one), state(trained)
    for part in ("encoder", "decoder", "bottleneck.quantizer.quantizers.0.in_proj", "bottleneck.quantizer.quantizers.2.codebook"):
        names = [name for name in before if name.startswith(f"autoencoder.{part}")]
        assert any(not torch.equal(before[name], after[name]) for name in names), part
    assert any(not torch.equal(before[n], after[n]) for n in before if n.startswith("discriminator."))
    averaged = [n for n in after if n.startswith("autoencoder_ema.ema_model.decoder")]
    assert any(not torch.equal(before[n], after[n]) for n in averaged)


def test_the_average_has_the_running_means_of_the_model(trained: Path) -> None:
    """An average of two pools, or of counts from before and after a revival, describes no codebook."""
    values = state(trained)
    names = [name for name in values if name.startswith("autoencoder.bottleneck.books.")]
    assert names
    for name in names:
        assert torch.equal(values[name.replace("autoencoder.", "autoencoder_ema.ema_model.", 1)], values[name]), name


def test_a_resumed_training_equals_one_that_never_stopped(trained: Path, folder: Path, tmp_path: Path) -> None:
    """Weights, averages, running means of the codebooks, optimisers: nothing may begin anew."""
    flags = ["--model-config", str(folder / "model.json"), "--dataset-config", str(folder / "dataset.json")]
    first = run(flags, tmp_path / "a", "--max-steps", 3)
    second = run(flags, tmp_path / "a", "--max-steps", 4, "--recover")
    assert first != second
    whole, resumed = state(trained), state(second)
    assert whole.keys() == resumed.keys()
    different = [name for name, value in whole.items() if not torch.equal(value, resumed[name])]
    assert different == []


@pytest.mark.parametrize("ema", [True, False])
def test_exported_it_gives_the_codes_and_the_audio_of_the_trained_model(
    trained: Path, folder: Path, tmp_path: Path, ema: bool
) -> None:
    """In SNAC's own class, which reads pytorch_model.bin, and as a codec of this package."""
    out = tmp_path / "out"
    assert main(["export_codec", "--ckpt-path", str(trained), "--out", str(out), *([] if ema else ["--no-ema"])]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "pytorch_model.bin"]
    prefix = "autoencoder_ema.ema_model." if ema else "autoencoder."
    model = create_model_from_config(json.loads((folder / "model.json").read_text()))
    model.load_state_dict({n.removeprefix(prefix): v for n, v in state(trained).items() if n.startswith(prefix)})
    model.eval()
    audio = 0.1 * torch.randn(2, 1, 5000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.manual_seed(3)
        latents, info = model.encode(audio, return_info=True)
        expected = model.decode(latents)[..., :5000]
        codes = model.bottleneck.levels.unpack(info["codes"])
        for loaded in (SNAC.from_pretrained(str(out)), load_codec(str(out)).model):
            torch.manual_seed(3)
            found, its_codes = loaded(audio)
            assert all(torch.equal(a, b) for a, b in zip(codes, its_codes, strict=True))
            assert torch.equal(found, expected)


def test_half_precision_and_another_config_on_request(trained: Path, folder: Path, tmp_path: Path) -> None:
    common = ["export_codec", "--ckpt-path", str(trained), "--model-config", str(folder / "model.json")]
    assert main([*common, "--out", str(tmp_path / "whole")]) == main([*common, "--out", str(tmp_path / "half"), "--half"]) == 0
    sizes = [(tmp_path / name / "pytorch_model.bin").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.9 * sizes[0]
    whole, half = (SNAC.from_pretrained(str(tmp_path / name)).state_dict() for name in ("whole", "half"))
    assert {name.split(".")[0] for name in whole if not torch.equal(whole[name], half[name])} == {"decoder"}


def test_a_checkpoint_that_does_not_fit_is_named(trained: Path, folder: Path, tmp_path: Path) -> None:
    config = codec_config()
    config["model"]["bottleneck"]["config"]["codebook_size"] = 32
    (tmp_path / "other.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"of another shape, first quantizer.quantizers.0.codebook.weight"):
        export_codec.main(
            ["--ckpt-path", str(trained), "--model-config", str(tmp_path / "other.json"), "--out", str(tmp_path / "out")]
        )
    assert not (tmp_path / "out").exists()


def test_the_loss_of_lines_is_logged_when_it_is_asked_for(trained: Path, tmp_path: Path) -> None:
    config = without_discriminator(codec_config())
    config["training"]["loss_configs"]["lines"] = {"weights": {"lines": 0.2}}
    checkpoint = run(prepare(tmp_path, config), tmp_path / "run", "--max-steps", 1)
    assert all(value >= 0 for value in logged(checkpoint.parents[1])["train/lines_loss"].values())
    assert "train/lines_loss" not in logged(trained.parents[1])


def losses(checkpoint: Path) -> list[float]:
    values = logged(checkpoint.parents[1])["train/mrstft_loss"]
    return [values[step] for step in sorted(values)]


def test_fine_tuning_from_a_folder_starts_with_its_weights_and_lowers_the_loss(tmp_path: Path) -> None:
    codec = write_tiny_codec(tmp_path / "hub", CODEC)
    config = without_discriminator(codec_config(start_from_data=None))
    config["model"] = {"pretrained": str(codec), **{part: {"type": t} for part, t in PARTS.items()}}
    built = create_model_from_config(config)
    expected = load_codec(str(codec)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in snac_of(built).state_dict().items())
    assert built.bottleneck.keep_lengths
    assert not built.bottleneck.start_is_due
    found = losses(run(prepare(tmp_path / "run", config), tmp_path / "run" / "out", "--max-steps", 30, "--batch-size", 4))
    assert sum(found[-5:]) < 0.95 * sum(found[:5])


PARTS = {"encoder": "snac", "bottleneck": "snac_rvq", "decoder": "snac"}


def test_with_encoder_and_bottleneck_at_rest_codes_stay_valid(tmp_path: Path) -> None:
    """Training the decoder alone: what was encoded before still means the same."""
    codec = write_tiny_codec(tmp_path / "hub", CODEC)
    config = without_discriminator(codec_config())
    config["model"] = {"pretrained": str(codec), **{part: {"type": t} for part, t in PARTS.items()}}
    config["model"]["encoder"]["requires_grad"] = config["model"]["bottleneck"]["requires_grad"] = False
    checkpoint = run(prepare(tmp_path / "run", config), tmp_path / "run" / "out", "--max-steps", 3)
    out = tmp_path / "exported"
    main(["export_codec", "--ckpt-path", str(checkpoint), "--out", str(out)])
    before, after = (load_codec(str(path)).model.state_dict() for path in (codec, out))
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"decoder"}


def test_after_the_warm_up_codes_rest_also_those_of_the_average(tmp_path: Path) -> None:
    """Or the averaged decoder would go on hearing codes that no decoder was trained on."""
    config = codec_config(warmup_steps=2, warmup_mode="full", encoder_freeze_on_warmup=True)
    checkpoint = run(prepare(tmp_path, config), tmp_path / "run", "--max-steps", 4, "--checkpoint-every", 2)
    before, after = state(checkpoint.with_name("step=00000002.ckpt")), state(checkpoint)
    resting = [name for name in after if name.startswith(("autoencoder.encoder.", "autoencoder.bottleneck.quantizer."))]
    assert resting
    for name in resting:
        assert torch.equal(after[name], before[name]), name
        assert torch.equal(after[name], after[name.replace("autoencoder.", "autoencoder_ema.ema_model.", 1)]), name
    assert any(not torch.equal(after[n], before[n]) for n in after if n.startswith("autoencoder.decoder."))


def test_the_average_rests_too_when_a_resumed_run_is_past_the_warm_up(tmp_path: Path) -> None:
    """Going on with fewer warmup_steps than were already taken: their very step never comes."""
    for steps, warmup in ((6, 20), (7, 3)):
        flags = prepare(tmp_path, without_discriminator(codec_config(warmup_steps=warmup, encoder_freeze_on_warmup=True)))
        checkpoint = run(flags, tmp_path / "run", "--max-steps", steps, "--recover")
    after = state(checkpoint)
    for name in [name for name in after if name.startswith("autoencoder.encoder.")]:
        assert torch.equal(after[name], after[name.replace("autoencoder.", "autoencoder_ema.ema_model.", 1)]), name


def test_codebooks_that_have_not_started_are_not_exported(tmp_path: Path) -> None:
    """In the warm-up noise stands in for them, and they are random still."""
    config = without_discriminator(codec_config())
    config["model"]["bottleneck"]["config"]["codebook_starts"] = [3]
    checkpoint = run(prepare(tmp_path, config), tmp_path / "run", "--max-steps", 1)
    with pytest.raises(CheckpointError, match=r"codebooks that have not started from data after 1 step, expected steps past 3"):
        export_codec.main(["--ckpt-path", str(checkpoint), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "automatic", "devices", "expected"),
    [
        ("auto", False, 2, "ddp_find_unused_parameters_true"),
        ("auto", False, 1, "auto"),
        ("auto", True, 2, "auto"),
        ("ddp", False, 2, "ddp"),
    ],
)
def test_several_devices_do_not_wait_for_gradients_that_never_come(name: str, automatic: bool, devices: int, expected: str) -> None:
    """Of the discriminator in warm-up, and of an encoder at rest."""
    assert strategy(name, automatic, devices) == expected


def test_what_this_trainer_cannot_do_is_named(tmp_path: Path) -> None:
    """Lightning's own message speaks of manual optimization."""
    with pytest.raises(UsageError, match=r"--accum-batches: found 2, expected 1 for an autoencoder"):
        run(prepare(tmp_path, codec_config()), tmp_path / "run", "--max-steps", 1, "--accum-batches", 2)


def test_averaged_weights_of_another_run_are_taken_at_step_zero(trained: Path, tmp_path: Path) -> None:
    """--pretrained-ckpt-path; the start from data must not write over them."""
    config = without_discriminator(codec_config(learning_rate=1e-12, optimizer_configs=None))
    afresh = run(prepare(tmp_path, config), tmp_path / "run", "--max-steps", 1, "--pretrained-ckpt-path", trained)
    assert afresh.name == "step=00000001.ckpt"
    before, after = state(trained), state(afresh)
    names = [name for name in after if name.startswith(("autoencoder.encoder", "autoencoder.decoder"))]
    for name in names:
        torch.testing.assert_close(after[name], before[name.replace("autoencoder.", "autoencoder_ema.ema_model.", 1)])


def test_a_checkpoint_of_another_codec_is_named(trained: Path, tmp_path: Path) -> None:
    config = codec_config()
    config["model"]["bottleneck"]["config"]["codebook_size"] = 32
    with pytest.raises(CheckpointError, match=r"weights of another shape, first autoencoder\.bottleneck"):
        run(prepare(tmp_path, config), tmp_path / "run", "--max-steps", 9, "--ckpt-path", trained)


def test_the_former_trainer_names_its_successor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train_codec", "--data", "folder"]) == 1
    assert re.fullmatch(
        r"error: .* `train\.py --model-config model_configs/snac_codec_tiny\.json`, .* `python -m snac_plugin export_codec`\.\n",
        capsys.readouterr().err,
    )


def test_codes_are_no_data_to_train_a_codec_on(tmp_path: Path) -> None:
    flags = prepare(tmp_path, codec_config())
    (tmp_path / "audio" / "0.npy").touch()
    dataset = {"dataset_type": "pre_encoded", "datasets": [{"id": "codes", "path": str(tmp_path / "audio")}]}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(ConfigError, match=r"dataset_type: found what a codec made, expected audio"):
        run(flags, tmp_path / "run", "--max-steps", 1)


def test_gradients_are_clipped_by_the_flag(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning refuses to clip for a trainer that steps by itself."""
    seen: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def note(parameters: Any, largest: float, *args: Any, **kwargs: Any) -> Any:
        seen.append(largest)
        return clip(parameters, largest, *args, **kwargs)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", note)
    run(prepare(tmp_path, codec_config()), tmp_path / "run", "--max-steps", 1, "--gradient-clip-val", 0.5)
    assert seen == [0.5]
