"""Recordings that are changed, as files: their own samples, their rate and channels, and settings that make them again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from snac_plugin.cli import generate as command
from snac_plugin.cli import main
from snac_plugin.errors import AudioError
from snac_plugin.generation.request import Request, options_in
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output import sample_files
from snac_plugin.output.make_samples import Recording, Sample, make_samples

RATE = 44100


def make(model: SnacDiffusion, folder: Path, recording: Path | None = None, **request: Any) -> tuple[Sample, np.ndarray]:
    continued = None if recording is None else Recording.read(recording, model.levels)
    sample = next(make_samples(model, Request(**request), folder, seed=5, recording=continued, progress=False))
    sound, rate = soundfile.read(sample.files.wav, dtype="float32")
    assert rate == (RATE if sound.ndim == 2 else 32000)
    return sample, sound


def test_own_samples_stay_bit_for_bit_at_their_own_rate_and_channels(
    model: SnacDiffusion, song: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    file, own = song
    sample, sound = make(model, tmp_path / "out", edit=file, repaint=[(0.5, 1.1)])
    assert sample.files.wav.name == "song_seed_5.wav"
    assert sound.shape == own.shape
    first, last = round(0.5 * RATE), round(1.1 * RATE)
    assert (sound[:first] == own[:first]).all()
    assert (sound[last:] == own[last:]).all()
    assert (sound[first:last] != own[first:last]).any()
    inside = abs(np.diff(sound[first + 5 : last - 5], axis=0)).max()
    for border in (first, last):
        assert abs(sound[border] - sound[border - 1]).max() <= 2 * inside
    assert (sample.settings["seconds"], sample.settings["new_seconds"], sample.seconds) == (2.0, 0.6, pytest.approx(0.6))
    assert (sample.settings["edit"], sample.settings["repaint"]) == (str(file), [(0.5, 1.1)])
    _, alone = make(model, tmp_path / "new", edit=file, repaint=[(0.5, 1.1)], only_new=True)
    assert (alone == sound[first:last]).all()


def test_lead_ins_bridges_and_loops_are_files_too(model: SnacDiffusion, song: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    file, own = song
    sample, lead = make(model, tmp_path, before=file, seconds=0.5)
    assert sample.files.wav.name == "song_seed_5.wav"
    assert (lead[-len(own) :] == own).all()
    assert len(lead) == len(own) + RATE // 2
    sample, bridge = make(model, tmp_path, bridge=(file, file), seconds=0.5)
    assert sample.files.wav.name == "song_song_seed_5.wav"
    assert (bridge[: len(own)] == own).all()
    assert (bridge[-len(own) :] == own).all()
    _, loop = make(model, tmp_path, edit=file, loop=True)
    seam = 4 * 3072 * RATE // (4 * 32000)
    assert (loop[seam:-seam] == own[seam:-seam]).all()
    assert abs(loop[0] - loop[-1]).max() <= 2 * abs(np.diff(loop[:seam], axis=0)).max()


def test_a_continuation_may_begin_earlier_and_be_written_alone(
    model: SnacDiffusion, song: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    file, own = song
    _, sound = make(model, tmp_path / "all", file, seconds=0.3, from_second=1.5)
    cut = round(1.5 * RATE)
    assert (sound[:cut] == own[:cut]).all()
    assert len(sound) == cut + round(0.3 * RATE)
    _, alone = make(model, tmp_path / "new", file, seconds=0.3, from_second=1.5, only_new=True)
    assert (alone == sound[cut:]).all()


@pytest.mark.parametrize("edited", [False, True])
def test_a_file_keeps_its_width_or_says_that_it_is_mono(
    model: SnacDiffusion, song: tuple[Path, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture, edited: bool
) -> None:
    """The mean of its channels is the mono one; the 30 ms in which a join fades are never alike."""
    file, own = song
    new: dict[str, Any] = {"edit": file, "repaint": [(1.0, 1.5)]} if edited else {"seconds": 0.5}
    recording = None if edited else file
    _, wide = make(model, tmp_path / "wide", recording, **new)
    assert not caplog.records
    _, mono = make(model, tmp_path / "mono", recording, **new, width="mono")
    assert caplog.records[0].getMessage() == "What is new is mono: the same in 2 channels, but for 30 ms beside a join."
    np.testing.assert_allclose(wide.mean(axis=1), mono.mean(axis=1), atol=1e-6)
    inner = slice(RATE + 2000, round(1.5 * RATE) - 2000) if edited else slice(len(own) + 2000, None)
    assert (mono[inner, 0] == mono[inner, 1]).all()
    assert abs(wide[inner, 0] - wide[inner, 1]).max() > 0.001


def test_six_channels_are_mono_and_say_so(
    model: SnacDiffusion, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is longer than a plain wav holds is RF64: an edit was taken for as long as one chunk."""
    own = 0.1 * np.random.default_rng(0).standard_normal((RATE, 6)).astype(np.float32)
    soundfile.write(tmp_path / "six.wav", own, RATE, subtype="FLOAT")
    monkeypatch.setattr(sample_files, "LARGEST_WAV", 4 * 6 * (RATE - 1))
    sample, sound = make(model, tmp_path / "out", edit=tmp_path / "six.wav", keep_levels="ABC")
    assert "the same in 6 channels, but for 30 ms beside a join; width is kept of stereo" in caplog.records[0].getMessage()
    assert abs(sound[2000:-2000] - sound[2000:-2000, :1]).max() < 1e-6
    assert soundfile.info(sample.files.wav).format == "RF64"
    small, _ = make(model, tmp_path / "new", edit=tmp_path / "six.wav", repaint=[(0.2, 0.4)], only_new=True)
    assert soundfile.info(small.files.wav).format == "WAV"


@pytest.mark.parametrize("options", [{"edit": True, "keep_levels": "A"}, {"seconds": 0.4, "steps": 9, "sampler": "euler"}])
def test_settings_make_the_same_sample_again(
    model: SnacDiffusion, song: tuple[Path, np.ndarray], tmp_path: Path, options: dict[str, Any]
) -> None:
    options = options | ({"edit": str(song[0])} if "edit" in options else {})
    sample, sound = make(model, tmp_path / "first", **options)
    again = options_in(json.loads(sample.files.json.read_text()))
    assert again.pop("seed") == 5
    second, same = make(model, tmp_path / "second", **again)
    assert (same == sound).all()
    assert second.settings == sample.settings


def run(checkpoint: Path, *arguments: Any) -> int:
    return main(["generate", "--ckpt", str(checkpoint), *map(str, arguments)])


@pytest.mark.parametrize(
    "flags",
    [
        ["--edit", "SONG", "--repaint", "0.3:0.5,1:1.2"],
        ["--edit", "SONG", "--keep-levels", "AB", "--batch-size", "2"],
        ["--edit", "SONG", "--strength", "A=0,B=0.3,C=0.5,D=0.7"],
        ["--continue", "SONG", "--from", "1", "--only-new", "--seconds", "0.3"],
        ["--continue", "SONG", "--match", "off", "--seconds", "0.3"],
        ["--continue", "SONG", "--width", "mono", "--seconds", "0.3"],
        ["--lead-in", "SONG", "--seconds", "0.3"],
        ["--bridge", "SONG", "SONG", "--seconds", "0.3", "--put-back"],
        ["--loop"],
    ],
    ids=lambda flags: flags[0] + " " + flags[2] if len(flags) > 2 else flags[0],
)
def test_every_row_has_its_command(checkpoint: Path, song: tuple[Path, np.ndarray], tmp_path: Path, flags: list[str]) -> None:
    flags = [str(song[0]) if flag == "SONG" else flag for flag in flags]
    assert run(checkpoint, "--out", tmp_path / "out", "--seed", 3, *flags) == 0
    (first, *_) = sorted((tmp_path / "out").glob("*.wav"))
    assert soundfile.info(first).frames > 0
    settings = ["--settings", str(first.with_suffix(".json"))]
    assert main(["generate", "--out", str(tmp_path / "again"), *settings, *_recordings(flags)]) == 0  # its checkpoint too
    assert (tmp_path / "again" / first.name).read_bytes() == first.read_bytes()


def test_settings_of_a_continuation_need_its_recording(
    checkpoint: Path, song: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it the sample would begin with nothing, and nobody would know."""
    assert run(checkpoint, "--out", tmp_path, "--seed", 3, "--continue", song[0]) == 0
    assert main(["generate", "--settings", str(tmp_path / "song_seed_3.json")]) == 1
    assert "--settings: found a sample that continues song.wav, expected --continue beside it" in capsys.readouterr().err


def _recordings(flags: list[str]) -> list[str]:
    """The recording that is continued is no setting: it is named again; a batch of two is made again as two."""
    named = flags[:2] if flags[0] == "--continue" else []
    return [*named, *(flags[-2:] if "--batch-size" in flags else [])]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--edit", "nowhere.wav", "--keep-levels", "A"], "nowhere.wav: found no such file"),
        (["--from", "3"], "--from: found 3.0, expected --continue beside it"),
        (["--repaint", "1:2"], "repaint: found no recording to change"),
        (["--settings", "nowhere.json"], "nowhere.json: found no such file"),
        (["--loop", "--continue", __file__], "--continue: found a recording to continue, expected none beside --edit"),
    ],
)
def test_a_mistake_is_named_before_torch_is_imported(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *flags]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--continue", "SONG", "--from", "500"],
            "--from: found 500.0, expected a second of the recording, which has 2.000 s",
        ),
        (["--edit", "SONG", "--repaint", "1:99"], "repaint: found 1.000 to 99.000 s in a recording of 2.000 s"),
        (["--lead-in", "TEXT"], "found a file that cannot be read"),
    ],
)
def test_a_header_is_enough_to_say_it_without_torch(song: tuple[Path, np.ndarray], flags: list[str], message: str) -> None:
    """After 10 s of loading torch and weights it was said before."""
    text = song[0].with_name("text.wav")
    text.write_text("no audio")
    flags = [str({"SONG": song[0], "TEXT": text}.get(flag, flag)) for flag in flags]
    code = f"import sys; from snac_plugin.cli import main; failed = main(['generate', *{flags}]); "
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}assert failed; assert 'torch' not in sys.modules"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert message in ran.stderr


def test_a_short_context_is_told_in_one_line(
    model: SnacDiffusion, song: tuple[Path, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(model, tmp_path, song[0], seconds=0.3)
    assert not caplog.records
    make(model, tmp_path, song[0], seconds=0.3, from_second=1.5)
    (told,) = caplog.records
    assert told.getMessage().startswith("The context has 1.50 s: what continues so little")


@pytest.mark.parametrize("text", ["1", "1:2:3", "a:b"])
def test_seconds_that_are_none_are_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--repaint", text])
    assert "expected seconds from and to: 3.2:5.1" in capsys.readouterr().err


def test_an_edited_file_that_is_no_audio_is_named(model: SnacDiffusion, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"text\.wav: found a file that cannot be read"):
        make(model, tmp_path, edit=tmp_path / "text.wav", keep_levels="A")
