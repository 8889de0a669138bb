"""A bad dataset config is told before a data loader crashes on it, or replaces what it cannot read."""

import pytest

from snac_plugin.config import check_dataset_config
from snac_plugin.errors import ConfigError


@pytest.fixture
def music(tmp_path):
    """A folder with one audio file, one folder down."""
    (tmp_path / "music" / "album").mkdir(parents=True)
    (tmp_path / "music" / "album" / "song.FLAC").touch()
    return tmp_path / "music"


def audio_dir(path, **entry):
    return {"dataset_type": "audio_dir", "datasets": [{"id": "mine", "path": str(path), **entry}]}


def problem(config, **options):
    with pytest.raises(ConfigError) as caught:
        check_dataset_config(config, "mine.json", **options)
    return caught.value


def test_fitting_config_comes_back_as_it_was(music):
    config = audio_dir(music) | {"random_crop": False}
    assert check_dataset_config(config) == config


@pytest.mark.parametrize(
    ("change", "where", "found", "text"),
    [
        ({"dataset_type": "audiodir"}, "dataset_type", '"audiodir"', 'Did you mean "audio_dir"?'),
        ({"dataset_type": 3}, "dataset_type", "3", "one of: audio_dir, pre_encoded, s3, wds"),
        ({"random_corp": True}, "random_corp", 'an unknown key "random_corp"', 'Did you mean "random_crop"?'),
        ({"random_crop": "yes"}, "random_crop", '"yes"', "true or false"),
        ({"datasets": []}, "datasets", "[]", "expected at least 1 entries"),
        ({"datasets": "x"}, "datasets", '"x"', "a list"),
        ({"datasets": [{"id": "a"}]}, "datasets[0].path", "nothing", "this key (the folder)"),
        ({"datasets": [{"path": "/"}]}, "datasets[0].id", "nothing", "this key"),
        ({"datasets": [{"id": "a", "pth": "/", "path": "/"}]}, "datasets[0].pth", 'an unknown key "pth"', 'Did you mean "path"?'),
    ],
)
def test_wrong_keys_and_values(music, change, where, found, text):
    error = problem(audio_dir(music) | change)
    assert (error.where, error.found) == (where, found)
    assert text in str(error)
    assert "mine.json" in str(error)


def test_missing_dataset_type():
    error = problem({"datasets": []})
    assert (error.where, error.found) == ("dataset_type", "nothing")


def test_folder_that_does_not_exist_is_named_with_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = problem(audio_dir("nowhere/music"))
    assert error.where == "datasets[0].path"
    assert error.found == '"nowhere/music" (no such folder)'
    assert str(tmp_path) in error.advice
    assert check_dataset_config(audio_dir("nowhere/music"), check_paths=False)


def test_file_in_place_of_a_folder(music):
    assert "(a file)" in problem(audio_dir(music / "album" / "song.FLAC")).found


def test_folder_without_audio_says_which_endings_count(tmp_path):
    """stable-audio-tools would find 0 files and fail later, in a sampler, without a word of the folder."""
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.wav").touch()
    error = problem(audio_dir(tmp_path))
    assert "a folder without a file to load" in error.found
    assert ".wav" in error.expected


def test_metadata_module_must_exist(music):
    error = problem(audio_dir(music, custom_metadata_module="/no/such.py"))
    assert (error.where, error.found) == ("datasets[0].custom_metadata_module", '"/no/such.py"')


def test_pre_encoded_folder_needs_latents(tmp_path):
    config = {"dataset_type": "pre_encoded", "datasets": [{"id": "a", "path": str(tmp_path)}], "latent_crop_length": 64}
    assert ".npy" in problem(config).expected
    (tmp_path / "0.npy").touch()
    assert check_dataset_config(config) == config


def test_pre_encoded_folder_may_list_its_files(tmp_path):
    """stable-audio-tools reads filelist.txt in place of searching the folder."""
    (tmp_path / "filelist.txt").write_text("../elsewhere/0.npy\n")
    assert check_dataset_config({"dataset_type": "pre_encoded", "datasets": [{"id": "a", "path": str(tmp_path)}]})


def test_crop_length_in_the_wrong_place_is_not_ignored(tmp_path):
    """Its documentation shows it inside a dataset, where its 0.0.19 never reads it."""
    (tmp_path / "0.npy").touch()
    config = {"dataset_type": "pre_encoded", "datasets": [{"id": "a", "path": str(tmp_path), "latent_crop_length": 64}]}
    error = problem(config)
    assert error.where == "datasets[0].latent_crop_length"
    assert "It belongs at latent_crop_length." in error.advice


def test_shards_come_from_a_bucket_or_a_folder(tmp_path):
    def shards(**entry):
        return {"dataset_type": "s3", "datasets": [{"id": "a", **entry}]}

    assert check_dataset_config(shards(s3_path="s3://bucket/prefix/"))
    assert problem(shards()).found == "neither path nor s3_path"
    assert problem(shards(path=".", s3_path="s3://x")).found == "both path and s3_path"
    assert "starts with s3://" in problem(shards(s3_path="/data")).expected
    assert ".tar" in problem(shards(path=str(tmp_path))).expected
    (tmp_path / "0.tar").touch()
    assert check_dataset_config({**shards(path=str(tmp_path)), "dataset_type": "wds", "silence_threshold": [0.01, 0.5]})
