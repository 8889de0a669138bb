"""The benchmarks run, from arguments to tables, on sizes that take seconds: a script that nobody runs rots.

What they measure is checked where it can be known: both sides agree, a sample's loss is the trainer's, a seam is seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin import builders
from snac_plugin.checkpoints import save_unwrapped
from snac_plugin.data.pre_encode import pre_encode
from snac_plugin.model.conditions import Conditions
from snac_plugin.training.stage_losses import Draw, stage_losses

FRAME, RATE = 3072, 32000
WINDOW = 3 * CHUNK_FRAMES
NETWORK = ["--dim", "32", "--depth", "2", "--heads", "2", "--chunk-frames", str(CHUNK_FRAMES)]
COMMON = ["--threads", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As when they are run as scripts; threads and denormals are put back."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A tiny model's config and a folder of codes of four songs."""
    folder = tmp_path_factory.mktemp("music")
    config = tiny_model_config(write_tiny_codec(folder / "codec"), context_chunks=2, head="logits")
    (folder / "model.json").write_text(json.dumps(config))
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(40 * FRAME) / RATE
    for index in range(4):
        tone = 0.3 * np.sin(2 * np.pi * 110 * 2 ** (index / 3) * time) * (np.sin(2 * np.pi * (index + 3) * time) > 0)
        soundfile.write(folder / "audio" / f"{index}.wav", tone + 0.01 * rng.standard_normal(len(time)), RATE)
    codec = builders.pretransform(config["model"]["pretransform"], RATE)
    source = {"dataset_type": "audio_dir", "datasets": [{"id": "songs", "path": str(folder / "audio")}]}
    codes = pre_encode(source, folder / "codes", codec, min_frames=WINDOW, progress=False).parent
    return SimpleNamespace(folder=folder, config=folder / "model.json", codec=codec, codes=codes)


def results(folder: Path, name: str) -> dict:
    """What a benchmark wrote, after a look at its table."""
    assert "| --- |" in (folder / f"{name}.md").read_text()
    return json.loads((folder / f"{name}.json").read_text())


def test_training_speed(tmp_path: Path) -> None:
    """All three ways run, and a pass a stage gives what one pass gives: else it would compare different things."""
    import training_speed

    training_speed.main([*NETWORK, *COMMON, "--repeats", "2", "--retries", "0", "--out", str(tmp_path)])
    found = results(tmp_path, "training_speed")
    assert set(found["sides"]) == set(training_speed.SIDES)
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
    import measure

    needed = measure.peak_memory(lambda: torch.ones(16 * 2**20).sum(), torch.device("cpu"))
    if needed is None:
        pytest.skip("this system does not tell")
    assert 60 < needed < 100


def test_a_run_that_others_kept_from_the_cores_is_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Low CPU time alone may be the run's own doing; on two cores another process must have taken one."""
    import measure

    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert measure.Run(wall=1, cpu=1.5, others=0.5, threads=2).disturbed
    assert not measure.Run(wall=1, cpu=1.5, others=0.05, threads=2).disturbed
    assert not measure.Run(wall=1, cpu=1.95, others=0.5, threads=2).disturbed
    assert measure.Run(wall=1, cpu=1.5, others=None, threads=2).disturbed


def test_context(music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both trainings run through the trainer and are tested at the ends of their phases; a second call only reads."""
    import context
    import small_trainings

    data = ["--model-config", music.config, "--codes", music.codes, "--held-out", music.codes, "--out", tmp_path]
    flags = [*map(str, data), *NETWORK, *COMMON, "--steps", "4", "--noise-levels", "0.3", "0.8"]
    context.main(flags)
    found = results(tmp_path, "context")
    assert list(found["supervised_codes"]) == ["1", "2", "4"]
    assert found["supervised_codes"]["4"] == 4 * 2 * 15 * WINDOW
    assert len(found["losses"]) == 6
    values = torch.tensor(found["losses"]["curriculum, 4"]["values"])
    assert values.shape == (3, 4, 2, 4)
    assert values.isfinite().all()
    monkeypatch.setattr(small_trainings, "train", None)
    monkeypatch.setattr(context, "evaluate", None)
    context.main(flags)
    monkeypatch.undo()


def test_loss_of_a_sample_is_the_trainers(music: SimpleNamespace) -> None:
    """For both heads: the mean over samples is what `stage_losses` gives."""
    from context_losses import sample_losses

    for head in ("logits", "velocity", "posterior"):
        config = tiny_model_config(music.folder / "codec", context_chunks=2, head=head)
        model = builders.model(config).model
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        codes, t = torch.randint(4096, (3, 15, CHUNK_FRAMES)), torch.full((3, 1, 4), 0.4)
        draw = Draw(t, torch.randn(3, 120, CHUNK_FRAMES), codes, 0)
        per_level, outputs = stage_losses(model, codes, draw, Conditions(), None)
        torch.testing.assert_close(sample_losses(model, codes, draw, outputs).mean(dim=0), per_level)


def test_every_song_gets_another_songs_context() -> None:
    from context_losses import others, windows_of
    from songs import Song

    for count in (2, 3, 16):
        other = others(count, seed=1)
        assert sorted(other.tolist()) == list(range(count))
        assert all(a != b for a, b in enumerate(other.tolist()))
    windows = windows_of([Song(torch.arange(30).expand(15, -1), Path())], 3, 10)
    assert windows[0, :, 0, 0].tolist() == [0, 10, 20]


def test_continuations(music: SimpleNamespace, tmp_path: Path) -> None:
    """Every table is filled, and the plot is drawn."""
    import continuations

    torch.manual_seed(0)
    model = builders.model(json.loads(music.config.read_text()))
    save_unwrapped(model, tmp_path / "model.safetensors", json.loads(music.config.read_text()), None)
    flags = [
        "--ckpt",
        tmp_path / "model.safetensors",
        "--held-out",
        music.codes,
        "--out",
        tmp_path,
        "--chunks",
        "6",
        "--steps",
        "4",
    ]
    continuations.main([*map(str, flags), *COMMON])
    found = results(tmp_path, "continuations")
    assert set(found["by_chunk"]) >= {"level, generated", "brightness, real", "loss, generated"}
    assert torch.tensor(found["by_chunk"]["loss, real"]).shape == (4, 6)
    assert len(found["seam"]) == 4
    assert (tmp_path / "seam.png").stat().st_size > 0


def test_a_seam_is_seen_and_none_is_not() -> None:
    """Noise that jumps to another filter at borders has a seam, steady noise has none."""
    import listening

    rng = np.random.default_rng(0)
    steady = rng.standard_normal(8 * RATE)
    jumping = steady.copy()
    borders = np.arange(RATE, 8 * RATE, RATE)
    for border in borders:
        jumping[border - 400 : border] = 0
    ratios = []
    for audio in (steady, jumping):
        values = listening.flux(audio)
        within = listening.flux_at(values, listening.inside(borders, len(audio), RATE, FRAME), RATE).mean()
        ratios.append(listening.flux_at(values, borders, RATE).mean() / within)
    assert ratios[0] == pytest.approx(1, abs=0.05)
    assert ratios[1] > 1.5


def test_keys_and_tempos_are_heard() -> None:
    """A scale's key, a click's tempo up to octaves, the level and the brightness of a tone."""
    import listening

    time = np.arange(12 * RATE) / RATE

    def tone(midi: int, at: np.ndarray = time) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * at)

    scales = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
    for tonic, scale, expected in ((60, "major", 0), (62, "major", 2), (69, "minor", 12 + 9)):
        chord = sum((2 if step in (0, 3, 4, 7) else 1) * tone(tonic + step) for step in scales[scale])
        assert listening.key(listening.pitch_classes(np.asarray(chord), RATE)) == expected
    clicks = (time % 0.5 < 0.01) * np.random.default_rng(0).standard_normal(len(time))
    assert listening.same_tempo(listening.tempo(clicks, RATE), 120)
    assert listening.same_tempo(60, 121)
    assert not listening.same_tempo(100, 130)
    assert listening.level_db(0.1 * tone(69)) == pytest.approx(-23.0, abs=0.1)
    assert listening.brightness(tone(81), RATE) == pytest.approx(880, rel=0.05)


def test_choices(music: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants are trained, tested and generated from, with every sampler; a second call only reads."""
    import choices
    import small_trainings

    data = ["--model-config", music.config, "--codes", music.codes, "--held-out", music.codes, "--out", tmp_path]
    size = ["--batch-size", "2", "--minutes", "0.0001", "--repeats", "1", "--retries", "0", "--windows", "2", "--steps", "12", "16"]
    flags = [*map(str, data), *NETWORK, *COMMON, *size, "--variants", "v", "velocity"]
    choices.main(flags)
    found = results(tmp_path, "choices")
    assert list(found["variants"]) == ["base", "velocity", "v"]
    assert [(made["sampler"], made["steps"]) for made in found["made"]["v"]] == [
        ("v-ddim", 12),
        ("v-ddim", 16),
        ("dpmpp-3m-sde", 12),
        ("dpmpp-3m-sde", 16),
    ]
    for run in found["variants"].values():
        scores = torch.tensor(run["scores"])
        assert scores.shape == (2, 4, 3, 4)
        assert scores.isfinite().all()
    assert found["distances"]["random codes"]["distance"] > found["distances"]["real, the same places"]["distance"]
    monkeypatch.setattr(small_trainings, "train", None)
    monkeypatch.setattr(choices, "load_model", None)
    monkeypatch.setattr(choices.measure, "interleaved", lambda sides, *_, **__: dict.fromkeys(sides))
    choices.main(flags)
    assert results(tmp_path, "choices") == found


def test_every_variant_of_the_choices_is_a_config(music: SimpleNamespace) -> None:
    import choices

    args = choices._parser().parse_args(["--model-config", str(music.config), *NETWORK])
    changed = []
    for name in choices.VARIANTS:
        config = builders.model(choices.config_of(name, args, music.codec)).config
        changed.append((config.model.diffusion, config.training))
    assert all(other != changed[0] for other in changed[1:])


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

    from snac_plugin.diffusion.objectives import OBJECTIVES, add_noise

    data, noise, t = torch.randn(2, 5, 8), torch.randn(2, 5, 8), torch.full((2, 1), 0.4)
    for objective in OBJECTIVES.values():
        model = SimpleNamespace(objective=objective, network=SimpleNamespace(config=SimpleNamespace(head="velocity")))
        x = add_noise(objective, data, noise, t[..., None])
        estimate = estimates._estimate(model, 0, x, t, objective.target(data, noise, t[..., None]))
        torch.testing.assert_close(estimate, data, atol=1e-5, rtol=1e-5)


def test_frechet_distance_of_gaussians() -> None:
    """A shift counts by its square, a scale by the square of its difference; equal sets are at distance zero."""
    from chunk_features import frechet, jackknife_error, without_each_song

    rows = np.random.default_rng(0).standard_normal((500, 3))
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-6)
    assert frechet(rows, rows + 2) == pytest.approx(12)
    scaled = 3 * (rows - rows.mean(axis=0)) + rows.mean(axis=0)
    assert frechet(rows, scaled) == pytest.approx(4 * np.trace(np.cov(rows, rowvar=False)))
    values = rows[:20, 0]
    value, left_out = without_each_song(lambda which: values[which].mean(), 20)
    assert value == pytest.approx(values.mean())
    assert jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / 20**0.5)
