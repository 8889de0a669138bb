"""Varied demo songs: the same notes in another mix, whose tilt, noise and loudness are those that were drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snac_plugin.data.demo_music import render_demo_music
from snac_plugin.data.demo_music.compose import compose
from snac_plugin.data.demo_music.mix import render_song
from snac_plugin.data.demo_music.render import find_soundfont
from snac_plugin.data.demo_music.sampler import Sampler
from snac_plugin.data.demo_music.song import ROLES
from snac_plugin.data.demo_music.soundfont import SoundFont
from snac_plugin.data.demo_music.styles import STYLES
from snac_plugin.data.demo_music.variation import Variation, draw_variation, vary
from snac_plugin.errors import UsageError

RATE = 32000
PLAIN = Variation(dict.fromkeys(ROLES, 0.0), 0.0, None, 0.0, 1)


def white(size: float = 0.1) -> np.ndarray:
    return size * np.random.default_rng(0).standard_normal(4 * RATE)


def decibels(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(audio.astype(np.float64) ** 2)))


def test_a_varied_folder_holds_the_same_songs_in_another_mix(tmp_path: Path) -> None:
    plain, varied = (
        render_demo_music(tmp_path / str(varied), songs=2, seconds=2.0, varied=varied, progress=False) for varied in (False, True)
    )
    assert json.loads((varied / "demo_music.json").read_text())["varied"] is True
    for index in range(2):
        assert (varied / f"train_{index:05d}.json").read_bytes() == (plain / f"train_{index:05d}.json").read_bytes()
        one, other = (soundfile.read(folder / f"train_{index:05d}.flac")[0] for folder in (plain, varied))
        assert np.abs(one - other).max() > 0.01
    sampler = Sampler(SoundFont(find_soundfont()), RATE)
    expected = render_song(compose("0/train/1", 2.0, STYLES[1]), sampler, draw_variation("0/train/1"))
    np.testing.assert_allclose(soundfile.read(varied / "train_00001.flac")[0], expected, atol=1 / 32768)
    with pytest.raises(UsageError, match="varied True instead of None"):
        render_demo_music(varied, songs=2, seconds=2.0, progress=False)


def test_a_variation_without_effect_is_the_song_as_it_is() -> None:
    song, sampler = compose("0/train/0", 2.0), Sampler(SoundFont(find_soundfont()), RATE)
    np.testing.assert_allclose(render_song(song, sampler, PLAIN), render_song(song, sampler), rtol=0, atol=1e-6)


def test_a_gain_and_a_tilt_are_those_asked_for() -> None:
    np.testing.assert_allclose(vary(white(), RATE, PLAIN._replace(gain_db=-6.0)), white() * 10 ** (-6 / 20), rtol=1e-6, atol=1e-9)
    tilted = vary(white(), RATE, PLAIN._replace(tilt_db=2.0))
    density = np.abs(np.fft.rfft(tilted)) ** 2
    low, high = (density[4 * first : 4 * last].mean() for first, last in ((450, 550), (7200, 8800)))  # four bins a hertz
    assert 10 * np.log10(high / low) == pytest.approx(8.0, abs=0.5)  # four octaves at 2 dB
    assert decibels(tilted) == pytest.approx(decibels(white()), abs=0.01)
    assert np.abs(vary(white(0.9), RATE, PLAIN._replace(tilt_db=1.0))).max() <= 0.98 + 1e-9


def test_noise_has_its_level_before_the_gain() -> None:
    silence = np.zeros(4 * RATE)
    assert decibels(vary(silence, RATE, PLAIN._replace(noise_dbfs=-50.0, gain_db=-6.0))) == pytest.approx(-56.0, abs=0.1)


def test_draws_repeat_differ_by_seed_and_stay_in_their_ranges() -> None:
    drawn = [draw_variation(f"0/train/{index}") for index in range(200)]
    assert drawn[3] == draw_variation("0/train/3")
    assert 70 < sum(one.noise_dbfs is not None for one in drawn) < 130
    assert 70 < sum(one.gain_db == 0 for one in drawn) < 130
    for one in drawn:
        assert one.parts_db.keys() == set(ROLES)
        assert max(map(abs, one.parts_db.values())) <= 6
        assert abs(one.tilt_db) <= 1.5
        assert one.noise_dbfs is None or -80 <= one.noise_dbfs <= -45
        assert -24 <= one.gain_db <= 0
