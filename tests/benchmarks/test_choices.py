"""The comparison of heads and objectives runs, and measures all of them alike."""

import json
import math
import os
import signal
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmark_runs import COMMON, NETWORK, WINDOW, results
from known import GAUSSIAN
from tiny import tiny_model_config

from snac_plugin.config import load_json
from snac_plugin.diffusion.sampler_names import MASKED_SAMPLERS
from snac_plugin.plugin import builders

pytestmark = pytest.mark.slow


def flags_of(music: SimpleNamespace, out: Path, *more: str) -> list[str]:
    """Of a comparison whose trainings take a step."""
    data = ["--model-config", music.config, "--codes", music.codes, "--held-out", music.codes, "--out", out]
    size = ["--batch-size", "2", "--minutes", "0.0001", "--repeats", "1", "--retries", "0", "--windows", "2", "--steps", "12"]
    return [*map(str, data), *NETWORK, *COMMON, *size, *more]


def test_choices(music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants are trained and tested, tokens with each seed; a second call only reads, a report says what lacks."""
    import choices
    import choices_tests
    import small_trainings

    flags = flags_of(music, tmp_path, "--seeds", "0", "1", "--variants", "velocity", "masked")
    choices.main(flags)
    found = results(tmp_path, "choices")
    assert found["missing"] == []
    assert list(found["rows"]) == ["base, 0", "base, 1", "masked, 0", "velocity, 0"]
    parts = {name: [part for part in row["tests"] if part != "scores"] for name, row in found["rows"].items()}
    assert [*parts.values()] == [["pingpong-codes, 12"]] * 2 + [["masked, 12"], ["euler, 12"]]
    for name, row in found["rows"].items():
        scores = torch.tensor(row["tests"]["scores"]["scores"])
        assert scores.shape == (3, 4, 3, 4)
        assert scores[:2].isfinite().all()
        assert scores[2].isfinite().all() == (name != "velocity, 0")
        assert all(math.isfinite(row["tests"][part]["distance"]["value"]) for part in parts[name])
    saved = [torch.load(path, weights_only=False)["state_dict"] for path in tmp_path.glob("choices/base_*/checkpoints/step=*.ckpt")]
    assert len(saved) == 2
    assert any(not torch.equal(weight, saved[1][name]) for name, weight in saved[0].items())
    monkeypatch.setattr(small_trainings, "train", None)
    monkeypatch.setattr(choices_tests, "load_model", None)
    monkeypatch.setattr(choices.timing, "interleaved", None)
    choices.main(flags)
    assert json.dumps(results(tmp_path, "choices")) == json.dumps(found)  # NaN, of a beat in a third of a second, equals nothing
    next(tmp_path.glob("choices/masked_*/checkpoints/*.masked.12.json")).unlink()
    choices.main([*flags, "--report"])
    assert [name for name, _ in results(tmp_path, "choices")["missing"]] == ["masked"]
    assert "Missing, 1 of 4: masked (seed 0)." in (tmp_path / "choices.md").read_text()


def test_other_samples_of_a_training_take_its_weights(
    music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scores are theirs, but for another average; its codes are others; autoguidance leads away from a shorter training."""
    import choices

    names = ["base", "averages", "average_0.1", "nucleus", "autoguidance"]
    step = SimpleNamespace(cpu=0.001, seconds=0.001)
    monkeypatch.setattr(choices.timing, "interleaved", lambda sides, *_, **__: dict.fromkeys(sides, step))
    choices.main(flags_of(music, tmp_path, "--minutes", "0.00014", "--variants", *names[1:]))  # 8 steps, and one of the weaker
    found = results(tmp_path, "choices")
    assert found["missing"] == []
    tests = {name: found["rows"][f"{name}, 0"]["tests"] for name in names}
    scores = {name: json.dumps(part["scores"]["scores"]) for name, part in tests.items()}
    assert scores["nucleus"] == scores["autoguidance"] == scores["base"] == scores["averages"] != scores["average_0.1"]
    codes = {
        path.name: json.loads(path.read_text())["found"]["codes"] for path in tmp_path.glob("choices/base_*/checkpoints/*12.json")
    }
    assert len(codes) == len({json.dumps(each) for each in codes.values()}) == 3
    steps = {path.parents[1].name.rsplit("_", 1)[0]: path.name for path in tmp_path.glob("choices/*/checkpoints/step=*.ckpt")}
    assert steps["base_weaker"] == "step=00000001.ckpt"
    assert steps["base"] == "step=00000008.ckpt"


def test_a_comparison_that_is_stopped_reports_what_is_whole(
    music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while the second row is tested; a half test must not be read as one."""
    import choices
    import choices_tests

    measured, left = choices_tests.continued_and_measured, [2]

    def stopped(*args: object) -> dict:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return measured(*args)

    monkeypatch.setattr(choices_tests, "continued_and_measured", stopped)
    handler = signal.getsignal(signal.SIGTERM)
    flags = flags_of(music, tmp_path, "--variants", "patches")
    with pytest.raises(SystemExit, match="the same command goes on"):
        choices.main(flags)
    assert signal.getsignal(signal.SIGTERM) is handler
    found = results(tmp_path, "choices")
    assert (list(found["rows"]), found["missing"]) == (["base, 0"], [["patches", 0]])
    choices.main(flags)
    assert results(tmp_path, "choices")["missing"] == []


def test_each_objective_has_its_samplers() -> None:
    """The one that leads is one of all."""
    import choices
    import choices_variants
    import songs
    from choices_tests import samplers_of

    args = choices.parser().parse_args(NETWORK)
    codec = songs.codec_of(load_json(args.model_config))
    found = {name: choices_variants.config_of(name, args, codec) for name in ("base", "velocity", "v", "masked")}
    leading = {name: samplers_of(config, all_of_them=False) for name, config in found.items()}
    assert leading == {"base": ("pingpong-codes",), "velocity": ("euler",), "v": ("dpmpp-3m-sde",), "masked": ("masked",)}
    of_all = {name: samplers_of(config, all_of_them=True) for name, config in found.items()}
    assert of_all["base"] == ("euler", "pingpong-codes")
    assert {*of_all["masked"]} == {*MASKED_SAMPLERS}
    assert all({*leading[name]} <= {*of_all[name]} for name in found)


def test_the_most_valuable_rows_come_first() -> None:
    """Tokens with one seed after another, the base always, then the others, whatever the order of the flags."""
    import choices

    args = choices.parser().parse_args(
        ["--variants", "colder", "shift", "masked", "patches", "--seeds", "3", "4", "--seeds-of-others", "5"]
    )
    tokens = [("base", 3), ("patches", 3), ("base", 4), ("patches", 4)]
    assert choices.order(args) == [*tokens, ("masked", 5), ("shift", 5), ("colder", 5)]


def test_minutes_of_a_training_that_was_stopped_are_added(
    music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not told at all where a call was killed, so that its minutes are not known."""
    import choices
    import small_trainings
    import songs

    args = choices.parser().parse_args(flags_of(music, tmp_path))
    levels, train = music.codec.levels, small_trainings.train
    for name, killed, expected in (("stopped", False, 3.0), ("killed", True, None)):
        run = small_trainings.training("test", name, small_trainings.model_config(args, levels, None), 3, args, music.codes)
        run.folder.mkdir(parents=True)
        dataset = songs.dataset_config(music.codes, WINDOW, run.folder / "dataset.json")
        monkeypatch.setattr(small_trainings, "train", lambda flags: train(Namespace(**(vars(flags) | {"max_steps": 1}))))
        with pytest.raises(SystemExit, match="stopped before step 3"):
            small_trainings.run_training(run, args, dataset, iter([0.0, 60.0]).__next__)
        if killed:
            (run.folder / "minutes.json").write_text("null")
        monkeypatch.setattr(small_trainings, "train", train)
        assert small_trainings.run_training(run, args, dataset, iter([100.0, 220.0]).__next__) == expected
        assert small_trainings.finished(run)


def test_differences_are_of_the_same_seeds_and_songs() -> None:
    """A variant with one seed is compared with the base's same seed; what resamples of songs change in both cancels."""
    from choices_report import Row, distance_of, made_cells

    def row(value: float) -> Row:
        part = {"distance": {"value": value, "resampled": [value - 0.5, value, value + 0.5]}}
        return Row(1.0, 1, 1.0, {"euler, 12": part})

    found = {"base": {0: row(1.0), 1: row(3.0)}, "shift": {1: row(2.0)}}
    parts = [base.made["euler", 12] for base in found["base"].values()]
    estimate = distance_of(parts, 16)
    assert estimate.value == 2.0
    assert estimate.low < 1.6 < 2.4 < estimate.high
    assert made_cells("base", ("euler", 12), found, 16)[0].endswith("; seeds ± 1.41")
    assert made_cells("shift", ("euler", 12), found, 16)[1] == "**-1.00 (-1.00 to -1.00)**"


def test_all_chunks_are_measured_on_the_same_resamples(music: SimpleNamespace) -> None:
    """Else differences of distances would hold the chance of the draws."""
    from choices_tests import HeldOut
    from context_losses import windows_of
    from songs import read_songs

    whole = read_songs(music.codes, music.codec, WINDOW, 4)
    held_out = HeldOut(music.codec, whole, windows_of(whole, 2, WINDOW), 4, 0)
    real = held_out.windows[..., -held_out.frames :].flatten(0, 1)
    first, second = held_out.measured(real), held_out.measured(real.roll(1, dims=0))
    assert first["floor"] == second["floor"]
    assert first["distance"] != second["distance"]


def test_every_variant_of_the_choices_is_a_config() -> None:
    """Of the config that is taken when none is named; other ways to sample differ in what their samplers follow."""
    import choices
    import choices_tests
    import choices_variants
    import songs

    args = choices.parser().parse_args(NETWORK)
    codec = songs.codec_of(load_json(args.model_config))
    changed = []
    for name in choices_variants.VARIANTS:
        raw = choices_variants.config_of(name, args, codec)
        model = builders.model(raw)
        changed.append((model.config.model.diffusion, model.config.training))
        run: Any = SimpleNamespace(config=raw)
        for sampled in (one for one in choices_variants.SAMPLED.values() if one.trained == name):
            plain, subject = (choices_tests.Subject(name, run, how) for how in (None, sampled))
            for sampler in subject.samplers(all_of_them=False):
                same = subject.settings(model, 12, sampler) == plain.settings(model, 12, sampler)
                assert same == (not sampled.sampling), sampled
    assert all(other != changed[0] for other in changed[1:])


def test_other_backbones_are_compared_at_equal_weights() -> None:
    import choices
    import choices_variants
    import songs

    args = choices.parser().parse_args(["--dim", "128", "--depth", "4"])
    codec = songs.codec_of(load_json(args.model_config))
    names = ("base", "magnitude_preserving", "x_transformers", "stable_audio_tools")
    counts = [
        sum(p.numel() for p in builders.model(choices_variants.config_of(n, args, codec)).model.network.parameters()) for n in names
    ]
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
        estimate, _ = estimates._estimate(model, 0, x, t, objective.target(data, noise, t[..., None]))
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
