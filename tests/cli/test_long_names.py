"""Names that no file system takes: to look for such a file is an error of the system, which must not end in a traceback."""

import pytest

from snac_plugin.cli import main

LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        f"generate --edit {LONG}.wav --keep-levels A",
        f"generate --continue {LONG}.wav",
        f"generate --out {LONG}",
        f"generate --settings {LONG}",
        f"generate --prompts {LONG}",
        f"evaluate --ckpt-path snac_dit_tiny --data {LONG}",
        f"ema --run {LONG} --length 0.1",
        f"unwrap --ckpt-path snac_dit_tiny --name {LONG}/model",
        f"unwrap --ckpt-path snac_dit_tiny --name {LONG}",
        f"unwrap --ckpt-path snac_dit_tiny --name {LONG} --folder",
        f"demo --save-dir {LONG}",
        f"songs {LONG} --songs 1",
        f"scan {LONG}",
        f"train --config-file {LONG}",
        f"train --model-config model_configs/snac_dit.json --dataset-config {LONG}",
        f"train --model-config model_configs/snac_dit.json --dataset-config {LONG} --ckpt-path {LONG}",
        f"pre_encode --model-config {LONG} --dataset-config {LONG} --output-path codes",
        f"run_gradio --out {LONG}",
        LONG,
    ],
    ids=lambda words: words.replace(LONG, "LONG"),
)
def test_a_long_name_is_told_in_a_sentence(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 1
    assert capsys.readouterr().err.startswith("error: ")
