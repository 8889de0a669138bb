"""From a request to files: what the command line and the page share."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.errors import AudioError, UsageError
from snac_plugin.files import digest_of
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.make_samples import Recording, Sample, _name_of, make_samples
from snac_plugin.output.sample_files import SampleWriter
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    return _model(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    """A model with two conditioners, one of which may read another's key."""
    numbers = {"type": "number", "config": {"min_val": 0, "max_val": 10}}
    conditioning = {
        "configs": [{"id": "tempo", **numbers}, {"id": "energy", **numbers}],
        "cond_dim": 8,
        "default_keys": {"energy": "loudness"},
    }
    return _model(tmp_path_factory.mktemp("codec"), conditioning)


def _model(folder: Path, conditioning: dict[str, Any] | None = None) -> SnacDiffusion:
    torch.manual_seed(0)
    config = tiny_model_config(write_tiny_codec(folder), global_cond_dim=16 if conditioning else 0)
    if conditioning:
        config["model"]["conditioning"] = conditioning
        config["model"]["diffusion"]["global_cond_ids"] = ["tempo", "energy"]
        config["training"]["demo"]["demo_cond_from_batch"] = True
    model = builders.model(config)
    with torch.no_grad():
        for parameter in model.model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)  # heads begin at zero, and then everything sounds the same
    return model.eval().requires_grad_(False)


def make(model: SnacDiffusion, folder: Path, *, seed: int = 5, **request: Any) -> Sample:
    return next(make_samples(model, Request(**request), folder, seed=seed, progress=False))


def test_the_same_seed_gives_the_same_file_and_another_seed_another(model: SnacDiffusion, tmp_path: Path) -> None:
    first, again, other = (make(model, tmp_path / str(i), seed=seed) for i, seed in enumerate((5, 5, 6)))
    assert first.files.wav.read_bytes() == again.files.wav.read_bytes()
    assert first.files.json.read_bytes() == again.files.json.read_bytes()
    assert first.files.picture.read_bytes() == again.files.picture.read_bytes()
    assert first.files.wav.read_bytes() != other.files.wav.read_bytes()


def test_samples_are_named_by_seeds_that_count_up_across_batches(model: SnacDiffusion, tmp_path: Path) -> None:
    made = list(make_samples(model, Request(), tmp_path, seed=7, count=3, batch_size=2, progress=False))
    assert [sample.files.wav.name for sample in made] == ["seed_7.wav", "seed_8.wav", "seed_9.wav"]
    assert [sample.settings["batch_size"] for sample in made] == [2, 2, 1]


def test_a_sample_of_a_batch_can_be_had_alone_by_its_seed(model: SnacDiffusion, tmp_path: Path) -> None:
    batch = list(make_samples(model, Request(), tmp_path / "batch", seed=5, count=2, progress=False))
    alone, in_batch = (soundfile.read(sample.files.wav)[0] for sample in (make(model, tmp_path / "alone", seed=6), batch[1]))
    assert abs(alone - in_batch).max() < 1e-4


def test_the_json_says_everything_that_made_the_sample(model: SnacDiffusion, tmp_path: Path) -> None:
    made = list(make_samples(model, Request(steps=7, seconds=0.3), tmp_path, seed=5, checkpoint="a.ckpt", progress=False))
    noted = json.loads(made[0].files.json.read_text())
    assert noted == made[0].settings
    assert (noted["seed"], noted["seconds"], noted["chunks"], noted["checkpoint"]) == (5, 0.3, 1, "a.ckpt")
    assert sum(noted["steps"].values()) == 7
    assert set(noted["sampler"].values()) == {"euler"}
    assert noted["codec"] == {"name": model.pretransform.codec_name, "fingerprint": model.pretransform.fingerprint}
    assert noted["versions"]["torch"] == torch.__version__
    assert soundfile.info(made[0].files.wav).frames == 9600


def test_other_weights_do_not_overwrite_a_sample_of_the_same_seed(model: SnacDiffusion, tmp_path: Path) -> None:
    first = make(model, tmp_path)
    weight = next(model.model.parameters())
    before = weight.clone()
    try:
        weight.add_(1.0)
        second = make(model, tmp_path)
    finally:
        weight.copy_(before)
    assert (first.files.wav.name, second.files.wav.name) == ("seed_5.wav", "seed_5_2.wav")


def test_progress_names_chunk_level_and_step_in_order(model: SnacDiffusion, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []

    def hear(*place: int) -> None:
        told.append(place)  # type: ignore[arg-type]

    request = Request(chunks=2, steps={"A": 1, "B": 2, "C": 1, "D": 3})
    list(make_samples(model, request, tmp_path, seed=5, progress=False, callback=hear))
    one = [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (3, 2)]
    assert told == [(chunk, level, step) for chunk in range(2) for level, step in one]


def test_a_sampler_of_the_other_objective_is_named_with_those_that_fit(model: SnacDiffusion, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sampler: found 'eulr', expected one of euler, rk4.*Did you mean \"euler\""):
        make(model, tmp_path, sampler="eulr")
    with pytest.raises(UsageError, match="dpmpp-3m-sde"):
        make(model, tmp_path, sampler="dpmpp-3m-sde")


@pytest.mark.parametrize("steps", [{"A": 1, "B": 1, "C": 1}, {"A": 1, "B": 1, "C": 1, "D": 1, "E": 1}, [1, 2], [0, 1, 1, 1]])
def test_steps_that_do_not_fit_the_levels_are_refused(model: SnacDiffusion, tmp_path: Path, steps: Any) -> None:
    with pytest.raises(UsageError, match="steps"):
        make(model, tmp_path, steps=steps)


def test_conditioning_that_nothing_would_read_is_refused_not_ignored(
    model: SnacDiffusion, told: SnacDiffusion, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="found the key 'prompt', expected nothing: this model was trained without"):
        make(model, tmp_path, conditioning={"prompt": "loud"})
    with pytest.raises(UsageError, match="found the key 'tmpo', expected only energy, loudness, tempo"):
        make(told, tmp_path, conditioning={"tmpo": 1.0, "tempo": 1.0, "energy": 2.0})
    with pytest.raises(UsageError, match="found nothing for energy, expected values for energy, loudness, tempo"):
        make(told, tmp_path, conditioning={"tempo": 1.0})


def test_conditioning_reaches_the_model_by_its_own_key_or_its_default_key(told: SnacDiffusion, tmp_path: Path) -> None:
    slow, fast, aliased = (
        make(told, tmp_path / str(i), conditioning=metadata)
        for i, metadata in enumerate(
            ({"tempo": 0.0, "energy": 1.0}, {"tempo": 10.0, "energy": 1.0}, {"tempo": 10.0, "loudness": 1.0})
        )
    )
    assert slow.files.wav.read_bytes() != fast.files.wav.read_bytes() == aliased.files.wav.read_bytes()
    assert json.loads(slow.files.json.read_text())["conditioning"] == {"tempo": 0.0, "energy": 1.0}


def test_a_number_in_a_flag_is_the_number_in_json(told: SnacDiffusion, tmp_path: Path) -> None:
    """ "7" by --condition and 7 in a line of --prompts were two samples with the same sound, and none was skipped."""
    first = make(told, tmp_path, conditioning={"tempo": "7", "loudness": "1e0"})
    assert json.loads(first.files.json.read_text())["conditioning"] == {"tempo": 7, "loudness": 1}
    request = Request(conditioning={"tempo": 7.0, "loudness": 1})
    (again,) = make_samples(told, request, tmp_path, seed=5, progress=False, skip=True)
    assert again.skipped
    assert again.files == first.files


def test_a_continuation_begins_with_the_recordings_own_samples(tmp_path: Path) -> None:
    """At its own rate, with its own channels, bit for bit; then exactly the seconds asked for, without a step."""
    torch.manual_seed(0)
    model = builders.model(tiny_model_config(write_tiny_codec(tmp_path / "codec"), context_chunks=2)).eval()
    time = torch.arange(44100) / 44100
    own = torch.stack([0.4 * torch.sin(1400 * time), 0.4 * torch.sin(1400 * time + 1)]).numpy().T
    soundfile.write(tmp_path / "song.wav", own, 44100, subtype="FLOAT")
    recording = Recording.read(tmp_path / "song.wav", model.levels)
    samples = list(
        make_samples(model, Request(seconds=1.5), tmp_path / "out", seed=3, count=2, recording=recording, progress=False)
    )
    assert [sample.files.wav.name for sample in samples] == ["song_seed_3.wav", "song_seed_4.wav"]
    sound, rate = soundfile.read(samples[0].files.wav, dtype="float32")
    assert (rate, sound.shape) == (44100, (44100 + 66150, 2))
    assert (sound[:44100] == own).all()
    about = {"file": "song.wav", "sample_rate": 44100, "seconds": 1.0, "digest": digest_of(tmp_path / "song.wav")[:12]}
    assert samples[0].settings["continues"] == about
    assert samples[0].seconds == pytest.approx(1.5)
    inside = abs(sound[44200:][1:] - sound[44200:][:-1]).max()
    assert abs(sound[44100] - sound[44099]).max() <= 2 * inside


def test_continuations_of_two_recordings_of_one_name_are_two_files(tmp_path: Path) -> None:
    """The second took the place of the first: their settings were the same."""
    model = builders.model(tiny_model_config(write_tiny_codec(tmp_path / "codec"), context_chunks=2)).eval()
    made = []
    for take in ("a", "b"):
        (tmp_path / take).mkdir()
        soundfile.write(tmp_path / take / "song.wav", 0.1 * torch.randn(32000).numpy(), 32000)
        recording = Recording.read(tmp_path / take / "song.wav", model.levels)
        made += make_samples(model, Request(chunks=1), tmp_path / "out", seed=1, recording=recording, progress=False)
    assert made[0].files.wav != made[1].files.wav
    assert made[0].files.wav.is_file()


def test_a_sample_of_a_sample_has_one_seed_in_its_name(tmp_path: Path) -> None:
    """Seeds piled up: song_seed_1_seed_2_seed_3. The source stays, also where it had the same seed."""
    model = builders.model(tiny_model_config(write_tiny_codec(tmp_path / "codec"), context_chunks=2)).eval()
    source, out, names = tmp_path / "song.wav", tmp_path / "out", []
    soundfile.write(source, 0.1 * torch.randn(32000).numpy(), 32000)
    for seed in (1, 2, 2, 3):
        content = source.read_bytes()
        recording = Recording.read(source, model.levels)
        (made,) = make_samples(model, Request(chunks=1, steps=4), out, seed=seed, recording=recording, progress=False)
        assert source.read_bytes() == content
        names.append(made.files.wav.name)
        assert made.settings["continues"]["file"] == source.name
        source = made.files.wav
    assert names == ["song_seed_1.wav", "song_seed_2.wav", "song_seed_2_2.wav", "song_seed_3.wav"]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["song.wav"], "song_"),
        (["seed_1.wav"], ""),
        (["seed_1_2.wav"], ""),
        (["song_seed_1_seed_2_3.wav"], "song_"),
        (["my_seed_song.wav"], "my_seed_song_"),
        (["a_seed_1.wav", "b.wav"], "a_b_"),
        (["seed_1.wav", "seed_2.wav"], ""),
    ],
)
def test_names_begin_with_the_recordings_that_are_in_them(files: list[str], name: str) -> None:
    request = Request(before=files[0]) if len(files) == 1 else Request(bridge=(files[0], files[1]))
    assert _name_of(request, None) == name


def test_chunks_are_counted_at_any_rate(tmp_path: Path) -> None:
    """Three chunks are no whole number of samples at 44,100 Hz."""
    model = builders.model(tiny_model_config(write_tiny_codec(tmp_path / "codec"), context_chunks=2)).eval()
    soundfile.write(tmp_path / "song.wav", 0.1 * torch.randn(44100).numpy(), 44100)
    recording = Recording.read(tmp_path / "song.wav", model.levels)
    sample = next(make_samples(model, Request(chunks=3), tmp_path / "out", recording=recording, progress=False))
    assert sample.settings["chunks"] == 3


def test_stopping_keeps_what_was_generated(model: SnacDiffusion, tmp_path: Path) -> None:
    """Ctrl-C in an hour of audio must not lose the minutes that are there."""

    def stop(chunk: int, level: int, step: int) -> None:
        if chunk == 5:
            raise KeyboardInterrupt

    made = make_samples(model, Request(chunks=20), tmp_path, seed=1, progress=False, callback=stop)
    sample = next(made)
    with pytest.raises(KeyboardInterrupt):
        next(made)
    assert 0 < sample.seconds < 20 * 4 * 3072 / 32000
    assert soundfile.info(sample.files.wav).frames == round(sample.seconds * 32000)


def test_nothing_half_written_stays_behind(model: SnacDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file of the batch cannot be opened, when one cannot be finished, when nobody asks for the others."""
    whole = (SampleWriter.__init__, SampleWriter.finish)

    def full_at_6(step: Any) -> Any:
        def fill(self: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self, "name", args[1] if len(args) > 1 else "") == "seed_6":
                raise OSError("No space left on device")
            return step(self, *args, **kwargs)

        return fill

    for name, step in zip(("__init__", "finish"), whole, strict=True):
        made = make_samples(model, Request(), tmp_path / name, seed=5, count=2, progress=False)
        with monkeypatch.context() as patch:
            patch.setattr(SampleWriter, name, full_at_6(step))
            with pytest.raises(OSError, match="No space"):
                list(made)
        assert [file.name for file in (tmp_path / name).glob("*.part")] == []
    made = make_samples(model, Request(), tmp_path / "closed", seed=5, count=2, progress=False)
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert sorted(file.suffix for file in (tmp_path / "closed").iterdir()) == [".json", ".json", ".png", ".png", ".wav", ".wav"]


def test_a_recording_shorter_than_a_frame_is_named(model: SnacDiffusion, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", torch.zeros(100).numpy(), 32000)
    with pytest.raises(AudioError, match=r"short\.wav: found 0\.003 s of audio, expected at least one frame"):
        Recording.read(tmp_path / "short.wav", model.levels)
