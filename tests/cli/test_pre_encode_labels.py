"""Labels that do not fit the model are told by `pre_encode.py` before anything is encoded."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import conditioned_model_config, write_tiny_codec

from snac_plugin.cli import main
from snac_plugin.data.pre_encode import JSON_BESIDE

SAID = {"style": "house", "tempo": 120}


def prepare(folder: Path, said: list[dict[str, object]], module: Path | None = JSON_BESIDE) -> list[str]:
    """Songs with these JSON files beside them; the flags that encode them."""
    (folder / "music").mkdir()
    for index, one in enumerate(said):
        soundfile.write(folder / "music" / f"{index}.wav", np.random.default_rng(index).uniform(-0.5, 0.5, 8 * 3072), 32000)
        (folder / "music" / f"{index}.json").write_text(json.dumps(one))
    (folder / "model.json").write_text(json.dumps(conditioned_model_config(write_tiny_codec(folder / "codec"))))
    entry = {"id": "music", "path": str(folder / "music")} | ({} if module is None else {"custom_metadata_module": str(module)})
    (folder / "audio.json").write_text(json.dumps({"dataset_type": "audio_dir", "datasets": [entry]}))
    flags = ["--model-config", str(folder / "model.json"), "--dataset-config", str(folder / "audio.json")]
    return ["pre_encode", *flags, "--output-path", str(folder / "out"), "--device", "cpu"]


def test_wrong_labels_are_told_before_anything_is_encoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = prepare(tmp_path, [SAID, {"style": "house"}, SAID | {"style": "rock"}])
    assert main(flags) == 1
    said = capsys.readouterr().err
    assert f"error: {tmp_path}/music/1.wav: tempo: found nothing, expected a number from 60 to 200. Correct the JSON file" in said
    assert "2 files do not fit in all." in said
    assert not (tmp_path / "out").exists()
    for index in (1, 2):
        (tmp_path / "music" / f"{index}.json").write_text(json.dumps(SAID))
    assert main(flags) == 0


def test_a_module_of_the_user_is_asked_track_by_track(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may need the audio; a track that does not fit is left out, as others that fail are."""
    module = tmp_path / "mine.py"
    tempo = "99 if '0.wav' in info['path'] else 'x'"
    module.write_text(f"def get_custom_metadata(info, audio):\n    return {{'style': 'house', 'tempo': {tempo}}}")
    with caplog.at_level(logging.WARNING):
        assert main(prepare(tmp_path, [SAID, SAID], module)) == 0
    assert '1.wav: tempo: found "x", expected a number' in caplog.text
    assert (tmp_path / "out" / "filelist.txt").read_text() == "music/0.wav.npy\n"


def test_data_without_any_labels_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A training may take them from a metadata module of its own."""
    with caplog.at_level(logging.WARNING):
        assert main(prepare(tmp_path, [SAID], None)) == 0
    assert "style: found nothing, expected one of house, jazz. The dataset config names no custom_metadata_module" in caplog.text
