"""Training a codec: it learns, it resumes where it stopped, its result loads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from snac import SNAC
from tiny import CODEC_24KHZ

from snac_plugin.cli.train_codec import _changes, _earlier, main, parse
from snac_plugin.codec.load import load_codec
from snac_plugin.codec.store import save_codec
from snac_plugin.codec_training.evaluation import evaluate
from snac_plugin.codec_training.initialise import initialise_from_data
from snac_plugin.codec_training.plan import TINY_32KHZ, TrainingPlan
from snac_plugin.codec_training.recordings import Recordings
from snac_plugin.codec_training.training import CodecTrainer, read_state
from snac_plugin.errors import AudioError, CheckpointError, CodecError, ConfigError

pytestmark = pytest.mark.slow

SMALL = CODEC_24KHZ | {"codebook_size": 64}
PLAN = TrainingPlan(steps=12, batch=2, crop=4096, starts=(0.25, 0.5), settle=0.75, start_crops=8, ramp=2)


def melody(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """Random notes with overtones, int16 at 24 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(6000) / 24_000
    notes = [
        sum(np.sin(2 * np.pi * f * k * time) / k for k in (1, 2, 3)) * np.exp(-6 * time)
        for f in 220 * 2 ** (rng.integers(0, 24, int(4 * seconds)) / 12)
    ]
    return (np.concatenate(notes) * 8000).astype(np.int16)


def recordings() -> Recordings:
    return Recordings([melody(seed=0), melody(seed=1)], 24_000)


def test_the_loss_falls() -> None:
    """Sixty steps, by a third: a loss that reaches no weight, or a wrong sign, would not."""
    plan = TrainingPlan(**{**vars(PLAN), "steps": 60, "starts": (0.5,), "settle": 0.9, "ramp": 5, "peak": 3e-3})
    rows = list(CodecTrainer(SMALL, plan, recordings()).rows(every=6))
    assert rows[-1]["mel"] < 0.67 * rows[0]["mel"]
    assert rows[-1]["codes_0"] > 5
    assert rows[0]["codes_0"] == 0  # no codebooks during warm-up


def test_a_resumed_training_equals_one_that_never_stopped(tmp_path: Path) -> None:
    whole = CodecTrainer(SMALL, PLAN, recordings())
    list(whole.rows())
    first = CodecTrainer(SMALL, PLAN, recordings())
    rows = first.rows(every=1)
    for _ in range(7):
        next(rows)
    first.save(tmp_path / "state.pt")
    second = CodecTrainer.resume(tmp_path / "state.pt", recordings())
    assert second.step == 7
    list(second.rows())
    for (name, a), b in zip(whole.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_encoder_and_codebooks_rest_at_the_end() -> None:
    trainer = CodecTrainer(SMALL, PLAN, recordings())
    before: dict[str, torch.Tensor] = {}
    for row in trainer.rows(every=1):
        if row["step"] == 9:
            before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    after = trainer.model.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    codebooks = [name for name in before if "codebook" in name or name.startswith("encoder")]
    assert "decoder" in moved
    assert all(torch.equal(before[name], after[name]) for name in codebooks)


def test_the_learning_rate_rises_after_each_start_and_falls_to_the_end() -> None:
    plan = TrainingPlan(peak=1.0, ramp=10, last=0.02)
    assert plan.learning_rate(0, 0.0) == pytest.approx(0.1)
    assert plan.learning_rate(100, 0.0) == pytest.approx(1.0)
    assert plan.learning_rate(100, 0.5) == pytest.approx(0.51)
    assert plan.learning_rate(100, 1.0) == pytest.approx(0.02)


def test_a_state_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"none")
    with pytest.raises(CheckpointError, match=r"state\.pt"):
        CodecTrainer.resume(tmp_path / "state.pt", recordings())


def test_starting_weights_carry_the_signal_through_every_layer() -> None:
    """SNAC's default weights let it fade to almost nothing."""
    torch.manual_seed(0)
    audio = 0.1 * torch.randn(4, 1, 12_288)
    model = SNAC(**TINY_32KHZ)
    with torch.no_grad():
        faded = model.encoder(audio).std()
        initialise_from_data(model, audio)
        z = model.encoder(audio)
        z_q = sum(
            level.out_proj(level.in_proj(torch.nn.functional.avg_pool1d(z, level.stride, level.stride))).mean()
            for level in model.quantizer.quantizers
        )
        made, _ = model(audio)
    assert faded < 0.3
    assert 0.8 < z.std() < 1.2
    assert torch.isfinite(z_q)
    assert 0.02 < made.std() < 0.3


def test_measuring_leaves_the_model_in_training_and_the_global_generator_alone() -> None:
    model = SNAC(**SMALL).train()
    state = torch.get_rng_state()
    report = evaluate(model, recordings(), seconds=6)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert report == evaluate(model, recordings(), seconds=6)
    assert len(report.codes) == 3
    assert all(1 <= p <= c <= n for p, c, n in zip(report.perplexity, report.codes, report.counted, strict=True))


def test_the_command_trains_resumes_and_writes_a_codec_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    for index in range(2):
        soundfile.write(tmp_path / "data" / f"{index}.wav", melody(seed=index), 24_000)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    out = tmp_path / "codec"
    common = ["--data", str(tmp_path / "data"), "--out", str(out), "--config", str(tmp_path / "config.json")]
    common += ["--batch", "2", "--crop", "4096", "--every", "2"]
    assert main([*common, "--steps", "4"]) == 0
    first = load_codec(str(out))
    # Neither the grid nor the rate of --config's default may be used.
    given = ["--data", str(tmp_path / "data"), "--out", str(out), "--every", "2", "--steps", "6", "--resume"]
    assert main(given) == 0
    printed = capsys.readouterr().out
    kept = read_state(out / "state.pt")
    assert (kept["plan"].batch, kept["plan"].crop, kept["plan"].steps) == (2, 4096, 6)
    assert kept["config"]["sampling_rate"] == 24_000
    assert "step 4 " in printed
    assert "step 6 " in printed
    assert printed.count("at the start:") == 1
    assert load_codec(str(out)).fingerprint != first.fingerprint
    assert "log-mel distance" in (out / "README.md").read_text()
    assert (out / "model.safetensors").stat().st_mode & 0o044


def test_training_the_decoder_alone_leaves_the_codes_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data" / "a.wav", melody(seed=0), 24_000)
    torch.manual_seed(0)
    save_codec(tmp_path / "codec", SNAC(**SMALL), SMALL, "card")
    given = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--decoder-of", str(tmp_path / "codec")]
    assert main([*given, "--steps", "3", "--batch", "2", "--crop", "4096", "--lines", "0.2"]) == 0
    states = [load_codec(str(tmp_path / name)).model.state_dict() for name in ("codec", "out")]
    changed = {name.split(".")[0] for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert changed == {"decoder"}


def test_resuming_says_what_it_ignores_and_keeps_the_rest_of_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state.pt").touch()
    plain = ["--data", "d", "--out", str(tmp_path)]
    args = parse([*plain, "--resume", "--config", "c.json", "--seed", "3", "--steps", "9", "--no-compile"])
    changes = _changes(args)
    with pytest.raises(CheckpointError):
        _earlier(args, tmp_path / "state.pt", changes)
    assert "ignored --config, --seed" in capsys.readouterr().out
    assert changes == {"steps": 9, "minutes": None, "compiled": False}
    assert _changes(parse(plain)) == {}
    assert _earlier(parse([*plain, "--resume"]), tmp_path / "other.pt", {}) is None
    assert "a new training begins" in capsys.readouterr().out


def test_the_command_names_what_it_cannot_use(tmp_path: Path) -> None:
    common = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(AudioError, match="no audio files"):
        main(common)
    with pytest.raises(ConfigError, match=r"--crop: found 5000, expected a multiple of 12288"):
        main([*common, "--crop", "5000"])
    with pytest.raises(CodecError, match=r"nothing\.json: found a file that cannot be read"):
        main([*common, "--config", str(tmp_path / "nothing.json")])
