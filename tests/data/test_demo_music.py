"""Demo music: what is written, that it repeats exactly, that its tempo and key can be heard, and that training can read it."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snac_plugin.data.demo_music import metadata, render_demo_music, styles
from snac_plugin.data.demo_music.compose import compose
from snac_plugin.data.demo_music.instruments import KITS, VOICES
from snac_plugin.data.demo_music.mix import PEAK_DBFS, RMS_DBFS, master, render_song
from snac_plugin.data.demo_music.render import find_soundfont
from snac_plugin.data.demo_music.sampler import Sampler
from snac_plugin.data.demo_music.soundfont import SoundFont
from snac_plugin.data.demo_music.styles import STYLES, read_styles
from snac_plugin.data.demo_music.theory import Chord, Key
from snac_plugin.errors import ConfigError, InstallationError, UsageError

RATE = 32000
STYLE = {style.name: style for style in STYLES}


def render(folder: Path, **changes) -> Path:
    return render_demo_music(folder, **{"songs": 2, "seconds": 4.0, "progress": False, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("demo") / "train")


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler(SoundFont(find_soundfont()), RATE)


def test_files_are_mono_audio_of_the_asked_length_with_metadata_beside_them(folder):
    assert sorted(contents(folder)) == [
        "demo_music.json", "train_00000.flac", "train_00000.json", "train_00001.flac", "train_00001.json",
    ]  # fmt: skip
    audio, rate = soundfile.read(folder / "train_00000.flac")
    assert (audio.shape, rate) == ((4 * RATE,), RATE)
    facts = json.loads((folder / "train_00000.json").read_text())
    for said in (facts["style"], facts["key"], f"{facts['tempo']} BPM", *facts["instruments"]):
        assert said in facts["prompt"]


def test_the_same_arguments_give_the_same_bytes(folder, tmp_path):
    assert contents(render(tmp_path / "again")) == contents(folder)


def test_a_song_does_not_depend_on_how_many_are_rendered(folder, tmp_path):
    one = contents(render(tmp_path / "one", songs=1))
    assert one["train_00000.flac"] == contents(folder)["train_00000.flac"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"split": "held_out"}])
def test_other_seeds_and_the_held_out_split_give_other_songs(folder, tmp_path, change):
    other = [content for name, content in contents(render(tmp_path / "other", **change)).items() if name.endswith(".flac")]
    assert not set(other) & set(contents(folder).values())


def test_a_finished_folder_is_reused_untouched(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert render(folder) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("lost", ["train_00001.flac", "train_00001.json"])
def test_a_half_finished_folder_is_finished_and_the_rest_left_alone(folder, tmp_path, lost):
    other = tmp_path / "half"
    other.mkdir()
    for name, content in contents(folder).items():
        if name != lost:
            (other / name).write_bytes(content)
    (other / ".train_00001.flac.1.partial").write_bytes(b"killed here")
    kept = (other / "train_00000.flac").stat().st_mtime_ns
    render(other)
    assert contents(folder).items() <= contents(other).items()
    assert (other / "train_00000.flac").stat().st_mtime_ns == kept


def test_an_interrupted_write_leaves_no_broken_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        render(tmp_path / "full")
    assert list((tmp_path / "full").iterdir()) == []


def test_other_settings_are_refused_with_what_differs_and_what_to_do(folder):
    with pytest.raises(UsageError, match=r"seed 0 instead of 7.*Name another folder, or remove this one"):
        render(folder, seed=7)


def test_a_tempo_is_that_of_every_song_and_leaves_style_mood_and_key(folder, tmp_path):
    slow = render(tmp_path / "slow", tempo=77)
    for index in range(2):
        own, other = (json.loads((where / f"train_{index:05d}.json").read_text()) for where in (folder, slow))
        assert other["tempo"] == 77
        for fact in ("style", "mood", "key", "scale"):
            assert other[fact] == own[fact]


def test_a_key_is_that_of_every_song_and_leaves_style_mood_and_tempo(folder, tmp_path):
    moved = render(tmp_path / "moved", key="F# dorian")
    for index in range(2):
        own, other = (json.loads((where / f"train_{index:05d}.json").read_text()) for where in (folder, moved))
        assert (other["key"], sorted(other["scale"])) == ("F# dorian", [1, 3, 4, 6, 8, 9, 11])
        for fact in ("style", "mood", "tempo"):
            assert other[fact] == own[fact]


def test_styles_take_turns_and_are_part_of_the_settings(folder, tmp_path):
    dance = render(tmp_path / "dance", songs=3, styles=["house", "jazz waltz"])
    facts = [json.loads((dance / f"train_{index:05d}.json").read_text()) for index in range(3)]
    assert [one["style"] for one in facts] == ["house", "jazz waltz", "house"]
    assert render(dance, songs=3, styles=["house", "jazz waltz"]) == dance
    with pytest.raises(UsageError, match=r"styles \['house', 'jazz waltz'\] instead of None"):
        render(dance, songs=3)
    with pytest.raises(UsageError, match=r"styles None instead of \['rock'\]"):
        render(folder, styles=["rock"])


@pytest.mark.parametrize("record", [None, "[]", "{"])
def test_a_folder_with_other_files_is_refused(tmp_path, record):
    (tmp_path / "mine.wav").write_bytes(b"precious")
    if record is not None:
        (tmp_path / "demo_music.json").write_text(record)
    with pytest.raises(UsageError, match="not demo music"):
        render(tmp_path)
    assert (tmp_path / "mine.wav").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "change",
    [
        {"songs": 0},
        {"seconds": 0.2},
        {"split": "test"},
        {"sample_rate": 800},
        {"styles": ["polka"]},
        {"styles": []},
        {"styles": "house"},
        {"tempo": 39},
        {"tempo": 241},
        {"key": "A"},
        {"key": ""},
        {"seconds": float("inf")},
    ],
)
def test_bad_arguments_are_named(tmp_path, change):
    with pytest.raises(UsageError, match=next(iter(change))):
        render(tmp_path / "bad", **change)
    assert not (tmp_path / "bad").exists()


def test_a_missing_soundfont_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallationError, match=r"pip install snac_plugin\[demo\]"):
        render(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_every_style_is_well_formed(style):
    """A pattern of the wrong length would shift every bar after it."""
    drums = [pattern for groove in style.grooves for pattern in groove.values()]
    assert {len(pattern) for pattern in (*style.chord_patterns, *style.bass_patterns, *drums)} == {4 * style.beats}
    assert set("".join(drums)) <= set("Xxo.")
    assert {voice for groove in style.grooves for voice in groove} <= set(VOICES)
    assert set(style.kits) <= set(KITS)
    song = compose("0", 30.0, style)
    assert all(0 <= note.pitch < 128 and note.seconds > 0 and note.start >= 0 for part in song.parts for note in part.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tempo": "fast"}, r"styles\.json: styles\.0\.tempo: found 'fast'"),
        ({"moods": []}, r"styles\.0\.moods: .*Unexpected"),
        ({"bass_patterns": ["0..."]}, r"pattern '0\.\.\.' is not 16 characters"),
        ({"modes": ["lydian"]}, "'lydian' is none of major"),
        ({"grooves": [{"gong": "X..............."}]}, "'gong' is none of kick"),
    ],
)
def test_a_style_that_does_not_fit_is_named(tmp_path, change, message):
    content = json.loads(Path(styles.__file__).with_suffix(".json").read_text())
    content["styles"][0] |= change
    (tmp_path / "styles.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        read_styles(tmp_path / "styles.json")


@pytest.mark.parametrize(("name", "seed"), [("house", "a"), ("rock", "b"), ("funk", "c")])
def test_the_stated_tempo_can_be_heard(sampler, name, seed):
    """Onsets repeat after a beat more than after any time that is no simple multiple of it."""
    song = next(
        song for song in (compose(f"{seed}{index}", 24.0, STYLE[name]) for index in range(20)) if song.parts[-1].role == "drums"
    )
    audio = render_song(song, sampler)[8 * RATE :]
    hop = 256
    spectra = np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(audio, 1024)[::hop] * np.hanning(1024)))
    onsets = np.maximum(np.diff(np.log1p(100 * spectra), axis=0), 0).sum(axis=1)
    onsets -= onsets.mean()

    def similarity(seconds: float) -> float:
        lag = round(seconds * RATE / hop)
        return max(float(np.dot(onsets[:-shift], onsets[shift:])) for shift in (lag - 1, lag, lag + 1))

    beat = 60 / song.tempo
    assert similarity(4 * beat) > 1.5 * max(similarity(4 * beat * ratio) for ratio in (0.94, 0.97, 1.03, 1.06))


@pytest.mark.parametrize("name", ["pop", "solo piano", "swing jazz", "orchestral"])
def test_the_stated_key_can_be_heard(sampler, name):
    """The scale's pitch classes stand out, and no transposition fits better but that by a fifth, which third harmonics favour."""
    song = compose("key0", 24.0, STYLE[name])
    audio, size = render_song(song, sampler), 8192
    frames = np.lib.stride_tricks.sliding_window_view(audio, size)[:: size // 2] * np.hanning(size)
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    heard = (frequencies > 200) & (frequencies < 1600)
    strength = np.sqrt(np.abs(np.fft.rfft(frames)))[:, heard].mean(axis=0)
    classes = np.round(69 + 12 * np.log2(frequencies[heard] / 440)).astype(int) % 12
    chroma = np.bincount(classes, strength, 12) / np.bincount(classes, minlength=12)
    chroma -= chroma.min()
    scores = [sum(chroma[(pitch_class + shift) % 12] for pitch_class in song.key.pitch_classes) for shift in range(12)]
    assert np.argmax(scores) in (0, 7)
    assert scores[0] > 1.3 * np.median(scores)


def test_mastering_sets_the_loudness_without_clipping():
    noise = np.random.default_rng(0)
    quiet_then_loud = noise.standard_normal(8 * RATE) * np.repeat([0.01, 0.5], 4 * RATE)
    quiet_then_loud[:: RATE // 3] = 8.0
    mastered = master(quiet_then_loud, RATE)
    assert np.abs(mastered).max() <= 10 ** (PEAK_DBFS / 20) + 1e-9
    assert 20 * np.log10(np.sqrt(np.mean(mastered**2))) == pytest.approx(RMS_DBFS, abs=1.5)


def test_no_passage_is_silent(sampler):
    """stable-audio-tools replaces a silent crop by a crop of another file."""
    audio = render_song(compose("quiet", 24.0, STYLE["ambient"]), sampler)
    windows = audio[: 3 * 6 * RATE].reshape(3, -1)
    assert (20 * np.log10(np.sqrt((windows**2).mean(axis=1))) > -35).all()


def test_chords_follow_the_key():
    names = [Chord(Key(9, "minor"), degree, 3).name for degree in range(7)]
    assert names == ["Am", "Bdim", "C", "Dm", "Em", "F", "G"]
    assert Chord(Key(0, "major"), 4, 4).name == "G7"
    assert Chord(Key(0, "major"), 0, 2).name == "C5"


def test_metadata_module_loads_alone_as_stable_audio_tools_does_it(folder):
    spec = importlib.util.spec_from_file_location("metadata_module", metadata.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    facts = module.get_custom_metadata({"path": str(folder / "train_00000.flac"), "seconds_total": 4}, None)
    assert facts["prompt"]
    assert facts["key"]
    assert facts["tempo"] > 0
    assert not {"path", "seconds", "sample_rate", "seconds_total"} & set(facts)
    assert module.get_custom_metadata({"path": str(folder / "no_such.flac")}, None) == {}
    assert module.get_custom_metadata({}, None) == {}


def test_stable_audio_tools_reads_the_folder_as_an_audio_dir_dataset(folder):
    from stable_audio_tools.data.dataset import create_dataloader_from_config

    config = {
        "dataset_type": "audio_dir",
        "datasets": [{"id": "demo", "path": str(folder), "custom_metadata_module": metadata.__file__}],
        "random_crop": True,
    }
    loader = create_dataloader_from_config(
        config, batch_size=2, sample_size=2 * RATE, sample_rate=RATE, audio_channels=1, num_workers=1
    )
    audio, infos = next(iter(loader))
    assert tuple(audio.shape) == (2, 1, 2 * RATE)
    assert float(audio.abs().max()) > 0.05
    assert {info["style"] for info in infos} == {"pop", "rock"}
    assert all(info["prompt"] and info["seconds_total"] == 4 for info in infos)
