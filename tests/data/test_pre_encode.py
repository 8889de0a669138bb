"""Tracks are encoded whole and once, and what training reads of them is what it would have read from the audio."""

import json
import logging
import os
import random

import numpy as np
import pytest
import soundfile
import torch
from stable_audio_tools.data.dataset import LocalDatasetConfig, SampleDataset, create_dataloader_from_config
from tiny import CHUNK_FRAMES, write_tiny_codec

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import check_dataset_config
from snac_plugin.data.audio import read_mono
from snac_plugin.data.pre_encode import pre_encode
from snac_plugin.data.resumable_loader import resumable
from snac_plugin.errors import AudioError, CodecError, ConfigError, UsageError

FRAME = 3072
RATE = 32000


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return SnacPretransform(load_codec(str(write_tiny_codec(tmp_path_factory.mktemp("codec")))), piece_seconds=1.0)


@pytest.fixture
def music(tmp_path):
    """Two long tracks and one shorter than the window."""
    for name, frames in (("long.wav", 9.5), ("album/longer.flac", 14), ("short.wav", 2.5)):
        write_track(tmp_path / "music" / name, frames)
    return tmp_path / "music"


def write_track(path, frames, rate=RATE, channels=1, loudness=0.5, subtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name) + round(frames))
    samples = round(frames * FRAME * rate / RATE)
    soundfile.write(path, rng.uniform(-loudness, loudness, (samples, channels)).astype(np.float32), rate, subtype)
    return path


def audio_dir(*paths, **entry):
    return {"dataset_type": "audio_dir", "datasets": [{"id": "my music", "path": str(path), **entry} for path in paths]}


def encode(source, output, codec, **options):
    options = {"min_frames": CHUNK_FRAMES, "progress": False} | options
    return pre_encode(source, output, codec, **options)


def loaded(output, name):
    """Codes and metadata of a track."""
    where = output / "my_music" / name
    return np.load(f"{where}.npy"), json.loads(where.with_name(f"{where.name}.json").read_text())


def details(output):
    return json.loads((output / "details.json").read_text())


def encoded_at(output):
    return {path.name: path.stat().st_mtime_ns for path in output.rglob("*.npy")}


def dataset_of(config_file):
    config = check_dataset_config(json.loads(config_file.read_text()))
    return create_dataloader_from_config(config, batch_size=2, sample_size=0, sample_rate=RATE, num_workers=1)


def test_codes_are_those_of_the_audio_that_stable_audio_tools_loads(tmp_path, codec):
    """Its sample rate conversion, clipping and mean of the channels, on a stereo file at another rate."""
    write_track(tmp_path / "music" / "a.wav", 5.9, rate=44100, channels=2, loudness=1.4, subtype="FLOAT")
    encode(audio_dir(tmp_path / "music"), tmp_path / "out", codec)
    codes, info = loaded(tmp_path / "out", "a.wav")
    config = LocalDatasetConfig("a", str(tmp_path / "music"))
    theirs = SampleDataset([config], 6 * FRAME, RATE, random_crop=False, force_channels="mono")
    theirs.augs = None  # inverts the polarity at random
    audio, metadata = theirs[0]
    read = read_mono(tmp_path / "music" / "a.wav", RATE)
    assert torch.equal(torch.nn.functional.pad(read, (0, 6 * FRAME - read.shape[-1])), audio)
    assert np.array_equal(codes, codec.tokenize(audio[None])[0].numpy())
    assert codes.dtype == np.int16
    for key in ("path", "relpath", "timestamps", "seconds_start", "seconds_total", "sample_rate"):
        assert info[key] == (list(metadata[key]) if key == "timestamps" else metadata[key])


def test_crops_are_columns_of_the_whole_encoding_with_their_own_times(music, tmp_path, codec):
    """stable-audio-tools gives every crop the times of the whole track."""
    dataset = dataset_of(encode(audio_dir(music), tmp_path / "out", codec)).dataset
    whole, _ = loaded(tmp_path / "out", "album/longer.flac")
    index = next(i for i, name in enumerate(dataset.filenames) if "longer" in name)
    starts = set()
    for seed in range(30):
        random.seed(seed)
        codes, info = dataset[index]
        start = info["latent_crop_start"]
        assert np.array_equal(codes.numpy(), whole[:, start : start + CHUNK_FRAMES])
        assert info["padding_mask"][0].tolist() == [1] * CHUNK_FRAMES
        assert info["seconds_start"] == start * FRAME // RATE
        assert info["timestamps"] == pytest.approx((start / 14, (start + CHUNK_FRAMES) / 14))
        starts.add(start)
    assert len(starts) > 3


def test_offsets_are_encodings_of_the_same_audio_from_inside_its_first_frame(music, tmp_path, codec):
    """SNAC is not shift-equivariant: other places inside a frame give other codes, not shifted ones."""
    encode(audio_dir(music), tmp_path / "out", codec, offsets=3)
    assert details(tmp_path / "out")["tracks"] == 9
    audio = read_mono(music / "long.wav", RATE)
    for start, name in ((0, "long.wav"), (1024, "long.wav_from_1024"), (2048, "long.wav_from_2048")):
        (tmp_path / "cut").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "cut" / f"{start}.wav", audio[0, start:].numpy(), RATE, "FLOAT")
        encode(audio_dir(tmp_path / "cut"), tmp_path / "alone", codec)
        assert np.array_equal(loaded(tmp_path / "out", name)[0], loaded(tmp_path / "alone", f"{start}.wav")[0])
    before = encoded_at(tmp_path / "out")
    encode(audio_dir(music), tmp_path / "out", codec, offsets=3)
    assert encoded_at(tmp_path / "out") == before, "nothing is encoded twice"
    for count in (0, FRAME + 1):
        with pytest.raises(UsageError, match=f"offsets: found {count}, expected at least 1, and at most 3072"):
            encode(audio_dir(music), tmp_path / "out", codec, offsets=count)


def test_short_track_is_followed_by_silence_that_its_mask_marks(music, tmp_path, codec):
    encode(audio_dir(music), tmp_path / "out", codec)
    codes, info = loaded(tmp_path / "out", "short.wav")
    assert info["padding_mask"] == [1, 1, 1, 0], "a frame with any sound in it counts as sound"
    audio = torch.nn.functional.pad(read_mono(music / "short.wav", RATE), (0, round(1.5 * FRAME)))
    assert np.array_equal(codes, codec.tokenize(audio[None])[0].numpy())


def test_batches_of_crops_of_all_tracks_have_one_shape(music, tmp_path, codec):
    loader = dataset_of(encode(audio_dir(music), tmp_path / "out", codec))
    draws = iter(resumable(loader, seed=0, first_batch=lambda: 0, rank=lambda: (0, 1)))
    batches = [next(draws) for _ in range(4)]
    assert {codes.shape for codes, _ in batches} == {(2, codec.levels.rows, CHUNK_FRAMES)}
    assert {codes.dtype for codes, _ in batches} == {torch.int16}
    later = next(iter(resumable(dataset_of(tmp_path / "out" / "dataset_config.json"), 0, lambda: 3, lambda: (0, 1))))
    assert torch.equal(later[0], batches[3][0]), "a resumed run must read what an uninterrupted one would have"


def test_second_run_encodes_only_what_is_new_or_changed(music, tmp_path, codec):
    encode(audio_dir(music), tmp_path / "out", codec)
    before = encoded_at(tmp_path / "out")
    write_track(music / "new.wav", 5)
    write_track(music / "long.wav", 8)
    encode(audio_dir(music), tmp_path / "out", codec)
    after = encoded_at(tmp_path / "out")
    assert {name for name in after if after[name] != before.get(name)} == {"new.wav.npy", "long.wav.npy"}
    assert loaded(tmp_path / "out", "long.wav")[0].shape[1] == 8
    assert details(tmp_path / "out")["tracks"] == 4
    encode(audio_dir(music), tmp_path / "out", codec, overwrite=True)
    assert all(encoded_at(tmp_path / "out")[name] != time for name, time in after.items())


def test_longer_window_encodes_only_short_tracks_again(music, tmp_path, codec):
    encode(audio_dir(music), tmp_path / "out", codec)
    before = encoded_at(tmp_path / "out")
    config = encode(audio_dir(music), tmp_path / "out", codec, min_frames=8)
    after = encoded_at(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"short.wav.npy"}
    assert loaded(tmp_path / "out", "short.wav")[0].shape[1] == 8
    assert json.loads(config.read_text())["latent_crop_length"] == 8


def test_run_that_was_stopped_leaves_whole_tracks_and_goes_on(music, tmp_path, codec, monkeypatch):
    encoded = []

    def stop_at_second(audio):
        if encoded:
            raise KeyboardInterrupt
        encoded.append(audio)
        return SnacPretransform.tokenize(codec, audio)

    monkeypatch.setattr(codec, "tokenize", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        encode(audio_dir(music), tmp_path / "out", codec, workers=2)
    monkeypatch.undo()
    before = encoded_at(tmp_path / "out")
    assert len(before) == details(tmp_path / "out")["tracks"] == 1
    assert not list((tmp_path / "out").rglob("*.part"))
    config = encode(audio_dir(music), tmp_path / "out", codec)
    assert encoded_at(tmp_path / "out").items() > before.items()
    assert len(dataset_of(config).dataset) == 3


def test_metadata_without_codes_is_no_track(music, tmp_path, codec):
    """A run may be stopped between the two files; the codes are written last."""
    encode(audio_dir(music), tmp_path / "out", codec)
    (tmp_path / "out" / "my_music" / "long.wav.npy").unlink()
    encode(audio_dir(music), tmp_path / "out", codec)
    assert loaded(tmp_path / "out", "long.wav")[0].shape[1] == 10


def test_reading_ahead_changes_nothing(music, tmp_path, codec):
    encode(audio_dir(music), tmp_path / "one", codec, workers=0)
    encode(audio_dir(music), tmp_path / "two", codec, workers=2)
    for name in ("long.wav", "album/longer.flac", "short.wav"):
        assert np.array_equal(loaded(tmp_path / "one", name)[0], loaded(tmp_path / "two", name)[0])


def test_folder_of_another_codec_is_refused_and_both_are_named(music, tmp_path, codec):
    encode(audio_dir(music), tmp_path / "out", codec)
    other = SnacPretransform(load_codec(str(write_tiny_codec(tmp_path / "other", seed=1))))
    before = encoded_at(tmp_path / "out")
    with pytest.raises(CodecError) as caught:
        encode(audio_dir(music), tmp_path / "out", other)
    for part in (codec.codec_name, codec.fingerprint, other.codec_name, other.fingerprint):
        assert part in str(caught.value)
    assert encoded_at(tmp_path / "out") == before


def test_same_codec_under_another_name_goes_on(music, tmp_path, codec):
    encode(audio_dir(music), tmp_path / "out", codec)
    before = encoded_at(tmp_path / "out")
    encode(audio_dir(music), tmp_path / "out", SnacPretransform(load_codec(str(write_tiny_codec(tmp_path / "copy")))))
    assert encoded_at(tmp_path / "out") == before


def test_folder_of_something_else_is_left_alone(music, tmp_path, codec):
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "latents.npy", np.zeros((120, 4)))
    with pytest.raises(UsageError, match=r"latents\.npy"):
        encode(audio_dir(music), tmp_path / "out", codec)


def test_rejected_files_are_logged_once_and_listed(music, tmp_path, codec, caplog):
    (music / "empty.wav").touch()
    write_track(music / "silent.wav", 5, loudness=5e-4)
    soundfile.write(music / "broken.wav", np.full(5 * FRAME, np.nan), RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        encode(audio_dir(music), tmp_path / "out", codec)
    listed = {os.path.basename(entry["path"]): entry["reason"] for entry in details(tmp_path / "out")["rejected"]}
    assert listed == {
        "empty.wav": "empty: 0 bytes",
        "silent.wav": "silent: nothing above -60 dB",
        "broken.wav": "holds NaN or infinite samples",
    }
    for name in listed:
        assert sum(name in message for message in caplog.messages) == 1
    assert details(tmp_path / "out")["tracks"] == 3


def test_nothing_to_encode_is_an_error(tmp_path, codec):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.wav").touch()
    with pytest.raises(AudioError, match="no track left of 1"):
        encode(audio_dir(tmp_path / "music"), tmp_path / "out", codec)
    with pytest.raises(ConfigError, match="audio_dir"):
        encode({"dataset_type": "s3"}, tmp_path / "out", codec)


def test_custom_metadata_is_kept_as_far_as_json_holds_it(music, tmp_path, codec, caplog):
    module = tmp_path / "metadata.py"
    module.write_text(
        "import torch\n"
        "def get_custom_metadata(info, audio):\n"
        "    if 'short' in info['path']: return {'__reject__': True}\n"
        "    if 'longer' in info['path']: raise ValueError('no prompt')\n"
        "    return {'prompt': info['relpath'], 'peak': audio.abs().max(), 'chroma': torch.zeros(2), 'odd': object()}\n"
    )
    encode(audio_dir(music, custom_metadata_module=str(module)), tmp_path / "out", codec)
    _, info = loaded(tmp_path / "out", "long.wav")
    assert info["prompt"] == "long.wav"
    assert info["peak"] == pytest.approx(0.5, abs=0.01)
    assert info["chroma"] == [0, 0]
    assert "odd" not in info
    assert any("'odd'" in message for message in caplog.messages)
    reasons = [entry["reason"] for entry in details(tmp_path / "out")["rejected"]]
    assert reasons == [
        "its custom_metadata_module failed (ValueError: no prompt)",
        "rejected by its custom_metadata_module",
    ]


def test_names_never_collide_and_are_found_again(tmp_path, codec):
    """stable-audio-tools replaces every .npy in a path by .json when it looks for metadata."""
    for name in ("one/a.wav", "one/a.flac", "two/a.wav", "one/b.npy.wav", "one/ü n.wav"):
        write_track(tmp_path / name, 5)
    config = encode(audio_dir(tmp_path / "one", tmp_path / "two"), tmp_path / "out", codec)
    dataset = dataset_of(config).dataset
    assert sorted(dataset[i][1]["path"] for i in range(len(dataset))) == sorted(
        str(tmp_path / name) for name in ("one/a.wav", "one/a.flac", "two/a.wav", "one/b.npy.wav", "one/ü n.wav")
    )
    with pytest.raises(UsageError, match=r"without \.npy"):
        encode(audio_dir(tmp_path / "one"), tmp_path / "my.npy", codec)


def test_tracks_whose_audio_is_gone_are_not_trained_on(music, tmp_path, codec, caplog):
    encode(audio_dir(music), tmp_path / "out", codec)
    (music / "long.wav").unlink()
    config = encode(audio_dir(music), tmp_path / "out", codec)
    assert len(dataset_of(config).dataset) == details(tmp_path / "out")["tracks"] == 2
    assert any("my_music/long.wav" in message for message in caplog.messages)
