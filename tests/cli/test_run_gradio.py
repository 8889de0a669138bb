"""What `run_gradio.py` says when it cannot open a page; that it does open one is in tests/interface."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from snac_plugin.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--ckpt-path: found nothing, expected a checkpoint"),
        (["--ckpt-path", "nowhere.ckpt"], "nowhere.ckpt: found no such file"),
        (["--ckpt-path", "BARE"], "no model config inside"),
        (["--username", "me"], "--username and --password: found one of them"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    torch.save({"state_dict": {}}, tmp_path / "bare.ckpt")
    given = [str(tmp_path / "bare.ckpt") if argument == "BARE" else argument for argument in arguments]
    assert main(["run_gradio", *given]) == 1
    assert message in capsys.readouterr().err
