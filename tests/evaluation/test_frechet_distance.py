"""The Frechet distance against its closed formula and SciPy, and as a measure: floor below ceiling, few clips, no leak."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_codecs import small_codec
from tiny import write_tiny_codec

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.demo_music import render_demo_music
from snac_plugin.errors import AudioError
from snac_plugin.evaluation.clips import AudioSet, read_clips
from snac_plugin.evaluation.frechet_distance import (
    REAL,
    Axes,
    Moments,
    ceilings,
    distance_table,
    distances,
    encoder_features,
    frechet_distance,
    log_mel_features,
)


def covariance(rng: np.random.Generator, size: int, rank: int) -> np.ndarray:
    factor = rng.normal(size=(size, rank))
    return factor @ factor.T


def test_distance_of_gaussians_whose_axes_agree() -> None:
    """The closed formula: |m1 - m2|^2 + sum (s1 - s2)^2."""
    mean1, mean2, s1, s2 = np.zeros(3), np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 1.0])
    found = frechet_distance((mean1, np.diag(s1**2)), (mean2, np.diag(s2**2)))
    assert found == pytest.approx(np.square(mean1 - mean2).sum() + np.square(s1 - s2).sum())


@pytest.mark.parametrize("rank", [6, 3])
def test_distance_is_that_of_scipys_matrix_root(rank: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(0)
    a, b = covariance(rng, 6, 6), covariance(rng, 6, rank)
    mean1, mean2 = rng.normal(size=(2, 6))
    expected = np.square(mean1 - mean2).sum() + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert frechet_distance((mean1, a), (mean2, b)) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance((mean2, b), (mean1, a)) == pytest.approx(expected, rel=1e-5)


def test_a_shift_counts_by_its_square_and_a_scale_by_the_square_of_its_difference() -> None:
    def gaussian(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return Moments.of([rows]).gaussian(np.ones(1))

    rows = np.random.default_rng(0).standard_normal((500, 3))
    assert frechet_distance(gaussian(rows), gaussian(rows)) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(gaussian(rows), gaussian(rows + 2)) == pytest.approx(12)
    scaled = 3 * (rows - rows.mean(axis=0)) + rows.mean(axis=0)
    assert frechet_distance(gaussian(rows), gaussian(scaled)) == pytest.approx(4 * np.trace(np.cov(rows, rowvar=False)))


def test_singular_covariances_give_no_nan_and_nothing_below_zero() -> None:
    rng = np.random.default_rng(0)
    flat = covariance(rng, 16, 2)
    assert frechet_distance((np.zeros(16), flat), (np.zeros(16), flat)) == pytest.approx(0, abs=1e-6)
    assert frechet_distance((np.zeros(2), np.zeros((2, 2))), (np.ones(2), np.zeros((2, 2)))) == pytest.approx(2)


def test_moments_are_mean_and_covariance_of_the_songs_chosen() -> None:
    rng = np.random.default_rng(0)
    songs = [rng.normal(size=(n, 4)) + n for n in (5, 7, 3)]
    mean, found = Moments.of(songs).gaussian(np.array([2.0, 0.0, 1.0]))
    together = np.concatenate([songs[2], songs[0], songs[0]])
    np.testing.assert_allclose(mean, together.mean(axis=0))
    np.testing.assert_allclose(found, np.cov(together.T), atol=1e-10)


def test_axes_scale_the_reference_to_total_variance_one() -> None:
    """So that one and the same average patch, forever, scores 1."""
    features = np.random.default_rng(0).normal(size=(400, 30)) * np.linspace(0.1, 5, 30)
    axes = Axes.of(features)
    assert axes.project.shape == (30, 16)
    projected = (features - axes.mean) @ axes.project
    assert projected.var(axis=0, ddof=1).sum() == pytest.approx(1)
    middle = (np.zeros(16), np.zeros((16, 16)))
    assert frechet_distance(middle, (projected.mean(axis=0), np.cov(projected.T))) == pytest.approx(1, rel=1e-6)


def songs_of(rng: np.random.Generator, count: int, shift: float = 0.0, patches: int = 16) -> list[np.ndarray]:
    """Songs that differ from each other, and patches that differ within a song."""
    return [rng.normal(size=(1, 8)) + rng.normal(size=(patches, 8)) + shift for _ in range(count)]


def test_equal_music_is_at_the_floor_and_other_music_is_not() -> None:
    rng = np.random.default_rng(0)
    real = songs_of(rng, 12)
    found = distances(real, {"alike": songs_of(rng, 12), "other": songs_of(rng, 12, shift=3.0)}, unpaired=("alike", "other"))
    floor, alike, other = (found.estimate(name) for name in ("recordings", "alike", "other"))
    assert found.songs == 6
    assert floor.low < alike.value < floor.high
    assert other.low > 2 * floor.high
    assert all(0 <= e.low <= e.value <= e.high for e in map(found.estimate, found.values))


def test_what_was_made_of_a_song_is_never_held_against_that_song() -> None:
    """A perfect copy of each song must stand at the floor, not at 0."""
    real = songs_of(np.random.default_rng(0), 8)
    found = distances(real, {"copy": real})
    assert found.estimate("copy") == found.estimate("recordings")
    assert found.estimate("copy").value > 0.1


def test_a_small_folder_sets_the_size_of_all_sets() -> None:
    """Small sets seem further apart than they are, so the floor has to be as small."""
    rng = np.random.default_rng(0)
    found = distances(songs_of(rng, 12), {"few": songs_of(rng, 2)}, unpaired=("few",))
    assert found.songs == 2
    assert found.estimate("recordings").value == pytest.approx(found.estimate("few").value, rel=1.0)


def test_a_difference_of_two_kinds_is_paired() -> None:
    """What is equally far from the recordings in every resample differs by nothing, however wide both intervals are."""
    rng = np.random.default_rng(0)
    real = songs_of(rng, 8)
    found = distances(real, {"one": real, "same": real, "other": [song + 3 for song in real]})
    same, other = found.estimate("one", minus="same"), found.estimate("other", minus="one")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert 0 < other.low < other.value < other.high


def test_one_song_is_too_few() -> None:
    with pytest.raises(AudioError, match="two or more"):
        distances(songs_of(np.random.default_rng(0), 1), {})


def test_features_hear_patches_apart(tmp_path: Path) -> None:
    """A patch's features depend on its own time: half a clip changed, the other half keeps its numbers but at the border."""
    codec = SnacPretransform(load_codec(str(write_tiny_codec(tmp_path / "codec"))))
    patch = 8 * codec.downsampling_ratio
    audio = torch.randn(1, 1, 4 * patch + 100, generator=torch.Generator().manual_seed(0))
    changed = audio.clone()
    changed[..., 3 * patch :] *= 0.1
    first, second = encoder_features(codec, audio), encoder_features(codec, changed)
    assert first.shape == (1, 4, 2 * 64)
    np.testing.assert_allclose(first[0, :2], second[0, :2], rtol=1e-4, atol=1e-6)
    assert np.abs(first[0, 3] - second[0, 3]).max() > 1e-3
    with pytest.raises(AudioError, match="one frame"):
        encoder_features(codec, audio[..., : codec.downsampling_ratio - 1])


@pytest.mark.slow
def test_random_codes_and_noise_are_farther_from_songs_than_other_songs_are(tmp_path: Path) -> None:
    """With the shipped codec, whose decoder makes something like music of any codes: they lie less far away than noise."""
    codec = SnacPretransform(load_codec("snac_tiny_32khz"))
    folder = render_demo_music(tmp_path, songs=6, seconds=4.0, sample_rate=codec.sample_rate, progress=False)
    songs = read_clips(folder, codec.sample_rate, 40 * codec.downsampling_ratio, 6, progress=False)
    kinds = {REAL: AudioSet(songs.audio, songs.songs)}
    found = distance_table(codec, kinds | ceilings(codec, kinds[REAL], batch=8, seed=0), seed=0, progress=False).estimates(
        "distance"
    )
    floor, random_codes, noise = (estimate.value for estimate in found.values())
    assert 1.2 * floor < random_codes < noise
    assert noise > 4 * floor


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> list[SnacPretransform]:
    """Two of the same geometry and different weights."""
    return [SnacPretransform(small_codec("32 kHz", seed)) for seed in (0, 1)]


def white(clips: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(clips, 1, samples, generator=torch.Generator().manual_seed(seed))


def low_passed(audio: torch.Tensor) -> torch.Tensor:
    """20 dB less above 8 kHz, at 32 kHz."""
    spectrum = torch.fft.rfft(audio)
    spectrum[..., spectrum.shape[-1] // 2 :] *= 0.1
    return torch.fft.irfft(spectrum, audio.shape[-1])


def test_log_mel_features_hear_gains_and_filters_and_know_no_codec(codecs: list[SnacPretransform]) -> None:
    """Means first, then deviations: a gain moves all means, a filter those of its bands, neither the deviations."""
    audio = 10 * white(3, 4 * 24576 + 100)  # far above the floor
    plain, half, dull = (log_mel_features(codecs[0], made) for made in (audio, audio / 2, low_passed(audio)))
    assert plain.shape == (3, 4, 160)
    np.testing.assert_array_equal(plain, log_mel_features(codecs[1], audio))
    np.testing.assert_allclose((plain - half)[..., :80], 6.02, atol=0.01)
    np.testing.assert_allclose((plain - half)[..., 80:], 0, atol=0.01)
    lost = (plain - dull).mean(axis=(0, 1))
    np.testing.assert_allclose(lost[:55], 0, atol=0.1)
    np.testing.assert_allclose(lost[70:80], 20, atol=0.1)
    changed = audio.clone()
    changed[..., 3 * 24576 :] *= 0.1
    np.testing.assert_array_equal(log_mel_features(codecs[0], changed)[:, :3], plain[:, :3])


def test_short_clips_are_one_log_mel_patch_and_shorter_ones_an_error(codecs: list[SnacPretransform]) -> None:
    assert log_mel_features(codecs[0], white(2, 2000)).shape == (2, 1, 160)
    with pytest.raises(AudioError, match="one window"):
        log_mel_features(codecs[0], white(2, 1000))


def test_the_table_has_both_distances_beside_each_other(codecs: list[SnacPretransform]) -> None:
    """What a decoder loses is heard without a codec, whichever codec is asked."""
    songs = np.repeat(np.arange(4), 2)
    recordings = white(8, 6 * 24576) * torch.linspace(0.9, 1, 8)[:, None, None]
    kinds = {
        "recordings": AudioSet(recordings[:, 0], songs),
        "copies": AudioSet(recordings[:, 0], songs),
        "dull": AudioSet(low_passed(recordings)[:, 0], songs),
    }
    tables = [distance_table(codec, kinds, seed=0, progress=False) for codec in codecs]
    mel = [table.estimates("distance on log-mel") for table in tables]
    assert mel[0] == mel[1]
    assert tables[0].estimates("distance") != tables[1].estimates("distance")
    assert mel[0]["copies"] == mel[0]["recordings of other songs (floor)"]
    assert mel[0]["dull"].low > 2 * mel[0]["copies"].high
