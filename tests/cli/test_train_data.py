"""Training reads pre-encoded codes, and is told before it begins what its data loader would stumble over."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.cli import main, pre_encode
from snac_plugin.cli.train import train
from snac_plugin.cli.train_data import audio_files, checked, data_loaders
from snac_plugin.cli.train_flags import parse
from snac_plugin.codec.load import load_codec
from snac_plugin.errors import CodecError, ConfigError
from snac_plugin.training import wrapper

RATE, FRAME = 32000, 3072


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model config, a folder of audio with one file that cannot be read, and its codes, made by the command."""
    folder = tmp_path_factory.mktemp("tiny")
    config = tiny_model_config(write_tiny_codec(folder / "codec"))
    config["training"] |= {"mask_padding": True, "mask_padding_dropout": 0.0}
    (folder / "model.json").write_text(json.dumps(config))
    (folder / "music").mkdir()
    rng = np.random.default_rng(0)
    for name, frames in (("a.wav", 12), ("b.flac", 6.5), ("short.wav", 2)):
        soundfile.write(folder / "music" / name, rng.uniform(-0.5, 0.5, round(frames * FRAME)), RATE)
    (folder / "music" / "broken.wav").write_text("not audio")
    audio = {"dataset_type": "audio_dir", "datasets": [{"id": "music", "path": str(folder / "music")}]}
    (folder / "audio.json").write_text(json.dumps(audio))
    arguments = ["--model-config", "model.json", "--dataset-config", "audio.json", "--output-path", "out", "--device", "cpu"]
    arguments = [str(folder / a) if a.endswith(".json") or a == "out" else a for a in arguments]
    assert main(["pre_encode", *arguments]) == 0
    return SimpleNamespace(
        folder=folder, model=config, levels=load_codec(str(folder / "codec")).levels, codes=folder / "out" / "dataset_config.json"
    )


def changed(tiny, tmp_path, **keys):
    """The dataset config of the codes with other values."""
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(json.loads(tiny.codes.read_text()) | keys))
    return str(path)


@pytest.mark.slow
def test_codes_train_like_audio_does(tiny, tmp_path, monkeypatch):
    """No codec runs: the model sees the codes of the files, and padding does not count."""
    seen: list = []
    losses = wrapper.code_losses

    def spy(model, codes, draw, conditions, frame_mask, *rest, **options):
        seen.append((codes, frame_mask))
        return losses(model, codes, draw, conditions, frame_mask, *rest, **options)

    monkeypatch.setattr(wrapper, "code_losses", spy)
    monkeypatch.setattr("snac_plugin.codec.pretransform.SnacPretransform.tokenize", None)
    flags = ["--model-config", tiny.folder / "model.json", "--dataset-config", tiny.codes, "--save-dir", tmp_path / "run"]
    flags += ["--max-steps", "3", "--batch-size", "2", "--logger", "none", "--accelerator", "cpu"]
    newest = train(parse([str(flag) for flag in flags]))
    assert newest is not None
    assert newest.is_file()
    assert len(seen) == 3
    files = {path.name: np.load(path).astype(np.int64) for path in (tiny.folder / "out").rglob("*.npy")}
    crops = {whole[:, i : i + CHUNK_FRAMES].tobytes() for whole in files.values() for i in range(whole.shape[1])}
    seen = [(codes, torch.ones(2, CHUNK_FRAMES, dtype=torch.bool) if mask is None else mask) for codes, mask in seen]
    drawn = [(example.numpy().tobytes(), mask[i].tolist()) for codes, mask in seen for i, example in enumerate(codes)]
    assert all(crop in crops for crop, _ in drawn)
    padded = files["short.wav.npy"].tobytes()
    assert [mask for crop, mask in drawn if crop == padded] == [[True, True, False, False]] * 2, "two epochs of three tracks"


def test_codes_of_another_codec_are_refused_and_both_are_named(tiny, tmp_path):
    model = json.loads(json.dumps(tiny.model))
    other = load_codec(str(write_tiny_codec(tmp_path / "other", seed=1)))
    model["model"]["pretransform"]["config"]["codec"] = other.name
    with pytest.raises(CodecError) as caught:
        checked(str(tiny.codes), model)
    mine = load_codec(str(tiny.folder / "codec"))
    for part in (mine.name, mine.fingerprint, other.name, other.fingerprint):
        assert part in str(caught.value)


def test_folder_below_the_codes_is_checked_too(tiny, tmp_path):
    (entry,) = json.loads(tiny.codes.read_text())["datasets"]
    path = changed(tiny, tmp_path, datasets=[entry | {"path": f"{entry['path']}/music"}])
    model = json.loads(json.dumps(tiny.model))
    model["model"]["pretransform"]["config"]["codec"] = str(write_tiny_codec(tmp_path / "other", seed=1))
    assert checked(path, tiny.model)
    with pytest.raises(CodecError):
        checked(path, model)


def test_crops_have_to_be_as_long_as_the_window(tiny, tmp_path):
    with pytest.raises(ConfigError, match=f"found 3, expected {CHUNK_FRAMES}"):
        checked(changed(tiny, tmp_path, latent_crop_length=3), tiny.model)
    whole = {key: value for key, value in json.loads(tiny.codes.read_text()).items() if key != "latent_crop_length"}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match="found nothing"):
        checked(str(tmp_path / "whole.json"), tiny.model)


def test_codes_for_a_shorter_window_are_refused(tiny, tmp_path):
    """Or tracks shorter than the window would end training in a batch that cannot be stacked."""
    longer = tiny_model_config(tiny.folder / "codec", context_chunks=1)
    path = changed(tiny, tmp_path, latent_crop_length=2 * CHUNK_FRAMES)
    with pytest.raises(ConfigError, match=r"tracks of 4 frames or more.*Run pre_encode\.py again"):
        checked(path, longer)


def test_codes_and_latents_do_not_mix(tiny, tmp_path):
    (tmp_path / "latents").mkdir()
    np.save(tmp_path / "latents" / "0.npy", np.zeros((120, 4)))
    entries = [*json.loads(tiny.codes.read_text())["datasets"], {"id": "latents", "path": str(tmp_path / "latents")}]
    with pytest.raises(ConfigError, match="codes in all folders"):
        checked(changed(tiny, tmp_path, datasets=entries), tiny.model)


def test_audio_that_cannot_be_read_is_logged_with_its_reason(tiny, caplog):
    """And the loader never comes to it: stable-audio-tools prints it each time, and trains on another file in its place."""
    args = SimpleNamespace(dataset_config=str(tiny.folder / "audio.json"), val_dataset_config="", val_every=-1)
    args = SimpleNamespace(**vars(args), batch_size=1, num_workers=1, seed=0)
    with caplog.at_level(logging.INFO):
        loader, validation = data_loaders(args, tiny.model, SimpleNamespace(_trainer=None))
    names = {os.path.basename(name) for name in loader.dataset.dataset.filenames}
    assert (names, validation) == ({"a.wav", "b.flac", "short.wav"}, None)
    assert [message for message in caplog.messages if "broken.wav" in message and "Format not recognised" in message]
    assert any(re.search(r"3 audio files, \d+\.\d (s|minutes); 1 cannot be read", message) for message in caplog.messages)


def test_no_audio_that_can_be_read_is_an_error(tiny, tmp_path):
    shutil.copy(tiny.folder / "music" / "broken.wav", tmp_path / "a.wav")
    config = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": str(tmp_path)}]}
    with pytest.raises(ConfigError, match=r"config\.json: datasets: .*none of which can be read"):
        audio_files(config, RATE, "config.json")


def test_codes_whose_encoding_was_killed_at_once_are_an_error_that_says_so(tiny, tmp_path):
    """The list of tracks is empty until encoding ends: training divided by their number."""
    shutil.copytree(tiny.folder / "out", tmp_path / "out")
    (tmp_path / "out" / "filelist.txt").write_text("")
    path = changed(tiny, tmp_path, datasets=[{"id": "killed", "path": str(tmp_path / "out")}])
    args = SimpleNamespace(dataset_config=path, val_dataset_config="", val_every=-1, batch_size=1, num_workers=1, seed=0)
    with pytest.raises(ConfigError, match=r"datasets: found no track.* run it again"):
        data_loaders(args, tiny.model, SimpleNamespace(_trainer=None))


def test_command_says_how_to_train_and_refuses_half_frames(tiny, capsys):
    model, audio = str(tiny.folder / "model.json"), str(tiny.folder / "audio.json")
    common = ["pre_encode", "--model-config", model, "--dataset-config", audio, "--output-path", str(tiny.folder / "out")]
    assert main([*common, "--device", "cpu"]) == 0
    assert f"train.py --model-config {model} --dataset-config {tiny.codes}" in capsys.readouterr().out
    assert main([*common, "--sample-size", "5000"]) == 1
    assert "a multiple of 3072" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("snac_dit_lora.json", "train with: .* --pretrained-ckpt-path snac_dit_tiny\n"),
        ("snac_dit_finetune.json", "or, to fine-tune snac_dit_tiny, with --pretrained-ckpt-path snac_dit_tiny beside it\n"),
        ("snac_dit_32khz.json", r"train with: .*encoded\n$"),
    ],
)
def test_command_names_the_checkpoint_that_is_fine_tuned(config, said, capsys, monkeypatch):
    """train.py refused the command that was printed."""
    monkeypatch.setattr(pre_encode, "run", lambda args: "encoded")
    assert main(["pre_encode", "--model-config", f"model_configs/{config}", "--output-path", "encoded"]) == 0
    assert re.search(said, capsys.readouterr().out)


def test_another_objective_or_no_shipped_model_is_no_fine_tuning(tmp_path, monkeypatch):
    """A config of masked codes was told to start from weights of another objective."""
    path = tmp_path / "model.json"
    config = json.loads(Path("model_configs/snac_dit_finetune.json").read_text())
    path.write_text(json.dumps(config))
    assert pre_encode._fine_tunes(str(path)) == (False, "snac_dit_tiny")
    with monkeypatch.context() as patched:
        patched.setattr(pre_encode, "config_at_once", lambda _: None)
        assert pre_encode._fine_tunes(str(path)) == (False, "")
    config["model"]["diffusion"]["diffusion_objective"] = "masked"
    config["model"]["diffusion"]["config"].pop("sampling", None)
    path.write_text(json.dumps(config))
    assert pre_encode._fine_tunes(str(path)) == (False, "")


@pytest.mark.skipif(not hasattr(os, "setpgid"), reason="needs process groups")
def test_a_signal_to_the_whole_group_leaves_the_workers():
    """The end of a job killed them, and training with them, in a traceback."""
    program = """
import os, signal, torch
from snac_plugin.cli.train_data import ignore_job_signals
signal.signal(signal.SIGTERM, lambda *_: print("told"))
loader = torch.utils.data.DataLoader(range(40), num_workers=2, prefetch_factor=1, worker_init_fn=ignore_job_signals)
for number in loader:
    if number == 5:
        os.killpg(0, signal.SIGTERM)
print("went on")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, start_new_session=True)
    assert (ran.returncode, ran.stdout) == (0, "told\nwent on\n"), ran.stderr


def test_command_that_is_stopped_says_that_it_can_go_on(tiny, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("snac_plugin.codec.pretransform.SnacPretransform.tokenize", stop)
    flags = ["--model-config", str(tiny.folder / "model.json"), "--dataset-config", str(tiny.folder / "audio.json")]
    assert main(["pre_encode", *flags, "--output-path", str(tmp_path / "out"), "--device", "cpu"]) == 130
    assert "goes on from there" in capsys.readouterr().out
