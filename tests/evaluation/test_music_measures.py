"""Tempo, key, beat, loudness and brightness of signals whose answers are known."""

import builtins
from typing import Any

import numpy as np
import pytest

from snac_plugin.errors import InstallationError
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.music_measures import COMPARISONS, TempoAndKey, agreement

RATE = 32000
TIME = np.arange(12 * RATE) / RATE


def tone(midi: int) -> np.ndarray:
    return np.sin(2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * TIME)


def clicks(beats_a_minute: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(TIME))
    return (TIME % (60 / beats_a_minute) < 0.01) * noise


@pytest.mark.parametrize(("tonic", "scale", "expected"), [(60, "major", 0), (62, "major", 2), (69, "minor", 12 + 9)])
def test_keys_are_heard(tonic: int, scale: str, expected: int) -> None:
    pytest.importorskip("librosa")
    steps = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}[scale]
    chord = sum((2 if step in (0, 3, 4, 7) else 1) * tone(tonic + step) for step in steps)
    assert music.key(music.pitch_classes(np.asarray(chord), RATE)) == expected


def test_tempos_are_heard_up_to_octaves() -> None:
    pytest.importorskip("librosa")
    for beats in (96, 120):
        assert music.same_tempo(music.tempo(clicks(beats), RATE), beats)
    assert music.same_tempo(60, 121)
    assert not music.same_tempo(100, 130)
    assert not music.same_tempo(0, 0)


def test_a_steady_click_has_a_beat_and_noise_has_none() -> None:
    pytest.importorskip("librosa")
    noise = np.random.default_rng(1).standard_normal(len(TIME))
    assert music.beat_strength(clicks(120), RATE) > 0.8
    assert music.beat_strength(noise, RATE) < 0.4
    assert np.isnan(music.beat_strength(noise[: RATE // 4], RATE))
    assert music.beat_strength(np.zeros(len(TIME)), RATE) == 0


def test_loudness_and_brightness_of_a_tone_and_of_silence() -> None:
    assert music.level_db(0.1 * tone(69)) == pytest.approx(-23.0, abs=0.1)
    assert music.brightness(tone(81), RATE) == pytest.approx(880, rel=0.05)
    assert music.level_db(np.zeros(100)) == pytest.approx(-100)
    assert music.brightness(np.zeros(100), RATE) == 0


def test_silence_has_some_key_and_no_nan() -> None:
    assert np.isfinite(music.key_fits(np.zeros(12))).all()


def test_a_missing_librosa_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "librosa":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InstallationError, match="pip install"):
        music.tempo(clicks(120), RATE)


def test_agreement_is_with_the_own_context_and_with_other_songs() -> None:
    """Two songs of two clips: a clip's own neighbour is neither its own context nor another song's."""
    tempos, songs = [100.0, 100.0, 130.0, 130.0], np.array([0, 0, 1, 1])
    heard = [TempoAndKey(tempo, np.eye(12)[int(tempo) // 50]) for tempo in tempos]
    own, others = agreement(heard, heard, songs, COMPARISONS["tempo within 4 %"])
    assert own.tolist() == [1, 1]
    assert others.tolist() == [0, 0]
    half = [heard[0], heard[2], heard[2], heard[2]]  # one continuation of the first song left its tempo for the other's
    own, others = agreement(half, heard, songs, COMPARISONS["tempo within 4 %"])
    assert own.tolist() == [0.5, 1]
    assert others.tolist() == [0.5, 0]
