"""Own samples keep their bits in whatever format they are written, and no part of a recording is read but what the model sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.errors import UsageError
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output import recordings
from snac_plugin.output.formats import Format
from snac_plugin.output.make_samples import Recording, make_samples
from snac_plugin.output.sample_files import SampleWriter
from snac_plugin.plugin import builders

RATE = 44100


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    torch.manual_seed(0)
    made = builders.model(tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")), head="logits", context_chunks=1))
    for parameter in made.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def song(path: Path, seconds: float = 1.5, rate: int = RATE, subtype: str = "PCM_16") -> tuple[Path, np.ndarray]:
    """A stereo file that uses all its bits, and its samples as whole numbers or floats."""
    noise = np.random.default_rng(0).integers(-(2**31), 2**31 - 1, (round(seconds * rate), 2), np.int32)
    whole = subtype.startswith("PCM")
    soundfile.write(path, noise if whole else noise.astype(np.float64) / 2**31 * 0.3, rate, subtype=subtype)
    return path, soundfile.read(path, dtype="int32" if whole else "float64")[0]


def make(model: SnacDiffusion, folder: Path, recording: Path | None = None, **request: Any) -> Path:
    continued = None if recording is None else Recording.read(recording, model.levels)
    options: Any = {"seed": 1, "progress": False, "recording": continued}
    return next(make_samples(model, Request(steps=4, **request), folder, **options)).files.wav


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_wav_has_the_recording_s_bit_depth_and_all_its_bits(model: SnacDiffusion, tmp_path: Path, subtype: str) -> None:
    file, own = song(tmp_path / "song.wav", subtype=subtype)
    made = make(model, tmp_path / "out", file, seconds=0.3, format="wav")
    assert soundfile.info(made).subtype == subtype
    sound = soundfile.read(made, dtype=str(own.dtype))[0]
    assert (sound[: len(own)] == own).all()
    assert len(sound) == len(own) + round(0.3 * RATE)
    assert sound[len(own) :].any()


@pytest.mark.parametrize(("subtype", "held"), [("PCM_16", "PCM_16"), ("PCM_24", "PCM_24"), ("PCM_U8", "PCM_S8")])
def test_flac_has_all_bits_too_around_an_edit_as_well(model: SnacDiffusion, tmp_path: Path, subtype: str, held: str) -> None:
    file, own = song(tmp_path / "song.wav", subtype=subtype)
    made = make(model, tmp_path / "out", edit=file, repaint=[(0.5, 0.7), (1.0, 1.1)], put_back=True, format="flac")
    assert (made.name, soundfile.info(made).format, soundfile.info(made).subtype) == ("song_seed_1.flac", "FLAC", held)
    sound = soundfile.read(made, dtype="int32")[0]
    new = np.zeros(len(own), bool)
    for first, last in ((0.5, 0.7), (1.0, 1.1)):
        new[round(first * RATE) : round(last * RATE)] = True
    assert (sound[~new] == own[~new]).all()
    assert (sound[new] != own[new]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize(("kind", "subtype"), [("ogg", "PCM_16"), ("flac", "FLOAT")])
def test_what_cannot_hold_the_own_samples_says_so(
    model: SnacDiffusion, tmp_path: Path, kind: str, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    file, own = song(tmp_path / "song.wav", seconds=2.5, subtype=subtype)
    made = make(model, tmp_path / "out", file, seconds=0.3, format=kind)
    assert soundfile.info(made).format == kind.upper()
    assert len(soundfile.read(made)[0]) == len(own) + round(0.3 * RATE)
    (told,) = caplog.records
    assert {"ogg": "ogg is lossy", "flac": "flac holds 24 bits"}[kind] in told.getMessage()


def test_samples_beyond_full_scale_are_cut_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whole numbers would turn over."""
    writer = SampleWriter(tmp_path, "loud", RATE, form=Format.of("wav", "PCM_16"))
    writer.write(torch.tensor([[0.5, 1.5, -2.0, 1.0]]))
    sound = soundfile.read(writer.finish({}).wav, dtype="int16")[0]
    assert sound.tolist() == [16384, 32767, -32768, 32767]
    assert "2 samples beyond full scale" in caplog.text


def test_long_vorbis_is_written_in_blocks(tmp_path: Path) -> None:
    """libsndfile crashes on it."""
    writer = SampleWriter(tmp_path, "long", RATE, 2, form=Format.of("ogg"))
    writer.write(torch.zeros(2, 30 * RATE))
    files = writer.finish({})
    assert (files.wav.name, soundfile.info(files.wav).frames) == ("long.ogg", 30 * RATE)


def test_a_format_that_takes_no_such_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="format: found flac for 9 channels, expected wav or ogg"):
        SampleWriter(tmp_path, "many", RATE, 9, form=Format.of("flac"))
    assert not list(tmp_path.iterdir())


def test_audio_that_is_returned_has_no_format(model: SnacDiffusion) -> None:
    with pytest.raises(UsageError, match="format: found flac, expected none: this returns audio"):
        model.generate(format="flac")


def test_an_unfinished_file_says_so_by_its_name(tmp_path: Path) -> None:
    first, second = (SampleWriter(tmp_path, "seed_1", RATE) for _ in range(2))
    for writer in (first, second):
        writer.write(torch.ones(1, 100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed_1.wav.2.part", "seed_1.wav.part"]
    assert soundfile.info(first.part).frames == 100  # it can be heard
    first.finish({"n": 1})
    second.discard()
    assert not list(tmp_path.glob("*.part"))


WAYS: dict[str, dict[str, Any]] = {
    "continued": {"seconds": 0.5, "from_second": 36.77},
    "repainted": {"repaint": [(20.3, 20.7), (22, 22.1)], "put_back": True},
    "led into": {"seconds": 0.5, "put_back": True},
    "bridged": {"seconds": 0.5, "put_back": True},
}


@pytest.mark.parametrize("rate", [32000, RATE])
@pytest.mark.parametrize("way", WAYS)
def test_a_part_of_a_recording_gives_what_all_of_it_gives(
    model: SnacDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, rate: int
) -> None:
    """Bit for bit at the model's rate, and within the resampler's tolerance at another."""
    time = np.arange(40 * rate) / rate
    tone = 0.2 * np.sin(2000 * time + 3 * np.sin(time))[:, None] * np.array([1, 0.7])
    soundfile.write(tmp_path / "song.flac", tone, rate, subtype="PCM_24")
    file = str(tmp_path / "song.flac")
    given: dict[str, Any] = {
        "continued": {},
        "repainted": {"edit": file},
        "led into": {"before": file},
        "bridged": {"bridge": (file, file)},
    }[way]
    most: list[int] = []
    read_part = recordings.read_part

    def watched(*arguments: Any) -> torch.Tensor:
        most.append(arguments[2] - arguments[1])
        return read_part(*arguments)

    monkeypatch.setattr(recordings, "read_part", watched)
    sounds = []
    for reach in (model.reach, 10**9):
        monkeypatch.setattr(SnacDiffusion, "reach", reach)
        made = make(model, tmp_path / str(reach), Path(file) if way == "continued" else None, **given, **WAYS[way])
        sounds.append(soundfile.read(made, dtype="float32")[0])
    parts, whole = most[: len(most) // 2], most[len(most) // 2 :]
    assert max(parts) < 20 * rate < min(whole)
    if rate == 32000:
        assert (sounds[0] == sounds[1]).all()
    np.testing.assert_allclose(sounds[0], sounds[1], atol=1e-3)
