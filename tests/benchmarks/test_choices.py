"""The comparison of heads and objectives runs, and measures all of them alike."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from benchmark_runs import COMMON, NETWORK, WINDOW, results
from known import GAUSSIAN
from tiny import tiny_model_config

from snac_plugin.config import load_json
from snac_plugin.diffusion.sampler_names import MASKED_SAMPLERS
from snac_plugin.plugin import builders

pytestmark = pytest.mark.slow


def test_choices(music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants are trained, tested and generated from, with every sampler; a second call only reads."""
    import choices
    import small_trainings

    data = ["--model-config", music.config, "--codes", music.codes, "--held-out", music.codes, "--out", tmp_path]
    size = ["--batch-size", "2", "--minutes", "0.0001", "--repeats", "1", "--retries", "0", "--windows", "2", "--steps", "12", "16"]
    flags = [*map(str, data), *NETWORK, *COMMON, *size, "--variants", "v", "velocity", "masked"]
    choices.main(flags)
    found = results(tmp_path, "choices")
    assert list(found["variants"]) == ["base", "velocity", "v", "masked"]
    assert [(made["sampler"], made["steps"]) for made in found["made"]["v"]] == [
        ("v-ddim", 12),
        ("v-ddim", 16),
        ("dpmpp-3m-sde", 12),
        ("dpmpp-3m-sde", 16),
    ]
    assert [made["sampler"] for made in found["made"]["base"]] == ["euler", "euler", "pingpong-codes", "pingpong-codes"]
    assert {made["sampler"] for made in found["made"]["velocity"]} == {"euler"}
    assert {made["sampler"] for made in found["made"]["masked"]} == {*MASKED_SAMPLERS}
    for run in found["variants"].values():
        scores = torch.tensor(run["scores"])
        assert scores.shape == (2, 4, 3, 4)
        assert scores.isfinite().all()
    assert {"random codes", "real, the same places"} < set(found["distances"])  # two songs are too few to say which is nearer
    assert all(math.isfinite(row["distance"]) for row in found["distances"].values())
    monkeypatch.setattr(small_trainings, "train", None)
    monkeypatch.setattr(choices, "load_model", None)
    monkeypatch.setattr(choices.timing, "interleaved", lambda sides, *_, **__: dict.fromkeys(sides))
    choices.main(flags)
    assert results(tmp_path, "choices") == found


def test_every_variant_of_the_choices_is_a_config() -> None:
    """Of the config that is taken when none is named."""
    import choices
    import songs

    args = choices._parser().parse_args(NETWORK)
    codec = songs.codec_of(load_json(args.model_config))
    changed = []
    for name in choices.VARIANTS:
        config = builders.model(choices.config_of(name, args, codec)).config
        changed.append((config.model.diffusion, config.training))
    assert all(other != changed[0] for other in changed[1:])


def test_other_backbones_are_compared_at_equal_weights() -> None:
    import choices
    import songs

    args = choices._parser().parse_args(["--dim", "128", "--depth", "4"])
    codec = songs.codec_of(load_json(args.model_config))
    names = ("base", "magnitude_preserving", "x_transformers", "stable_audio_tools")
    counts = [sum(p.numel() for p in builders.model(choices.config_of(n, args, codec)).model.network.parameters()) for n in names]
    assert counts[1:] == pytest.approx([counts[0]] * 3, rel=0.01)


def test_estimates_are_measured_alike_for_heads_and_objectives(music: SimpleNamespace) -> None:
    """What a noised point alone says is the same under both objectives; a network that adds nothing says the same."""
    import estimates
    from context_losses import windows_of
    from songs import read_songs

    windows = windows_of(read_songs(music.codes, music.codec, WINDOW, 4), 2, WINDOW)
    found = []
    for objective in ("rectified_flow", "v"):
        config = tiny_model_config(music.folder / "codec", context_chunks=2, head="posterior")
        config["model"]["diffusion"]["diffusion_objective"] = objective
        config["model"]["diffusion"]["config"]["sampling"] = {}
        model = builders.model(config)  # its outputs start at zero
        found += [estimates.evaluate(model, windows, [0.05, 0.6], 0, network) for network in (True, False)]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=2e-4, rtol=1e-3)
    (low, high), (few, many) = found[0][0].mean(dim=(0, 2)), 1 - found[0][1].mean(dim=(0, 2))
    assert low < 0.05 < 0.5 < high
    assert few < 0.05 < 0.5 < many


def test_velocity_is_turned_into_the_data() -> None:
    """Of a perfect velocity network the estimate is the data, whatever the objective."""
    import estimates

    data, noise, t = torch.randn(2, 5, 8), torch.randn(2, 5, 8), torch.full((2, 1), 0.4)
    for objective in GAUSSIAN.values():
        model = SimpleNamespace(path=objective, network=SimpleNamespace(config=SimpleNamespace(head="velocity")))
        x = objective.noised(data, noise, t[..., None])
        estimate = estimates._estimate(model, 0, x, t, objective.target(data, noise, t[..., None]))
        torch.testing.assert_close(estimate, data, atol=1e-5, rtol=1e-5)


def test_a_training_in_another_precision_is_another_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Results that were kept in bfloat16 must not be shown for float32."""
    import small_trainings

    args = SimpleNamespace(device="cpu", batch_size=2, seed=0, out=tmp_path)
    folders = set()
    for precision in ("32-true", "bf16-mixed"):
        monkeypatch.setattr(small_trainings, "pick_precision", lambda _, picked=precision: picked)
        folders.add(small_trainings.training("choices", "base", {}, 8, args, tmp_path).folder)
    assert len(folders) == 2
