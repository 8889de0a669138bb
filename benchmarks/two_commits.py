"""A checkout of another commit, and commands that run in a checkout as its user would run them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., str]
RENDER = """
import sys
from snac_plugin.data.demo_music import render_demo_music
render_demo_music(sys.argv[1], songs=int(sys.argv[2]), seconds=float(sys.argv[3]))
"""


def commit_of(name: str) -> str:
    """The full hash of a revision of this repository."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--verify", f"{name}^{{commit}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def checkout(commit: str, folder: Path) -> Path:
    """A clone of this repository in a folder that does not exist yet, at a commit; returns the folder."""
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", commit], check=True)
    return folder


def runner(tree: Path) -> Run:
    """A function that runs Python with the given words in a checkout, whose package it imports, and returns what it prints.

    It raises RuntimeError with the last lines of the command's messages if the command fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_WAIT_POLICY": "PASSIVE"}

    def run(*words: object) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)[:200]}\n{done.stderr[-3000:]}")
        return done.stdout

    return run


def demo_data(run: Run, folder: Path, songs: int, seconds: float) -> tuple[Path, Path]:
    """Render demo music into `folder/songs` and encode it into `folder/codes`; returns the dataset configs of both."""
    run("-c", RENDER, folder / "songs", songs, seconds)
    audio = folder / "songs.json"
    audio.write_text(json.dumps({"dataset_type": "audio_dir", "datasets": [{"id": "songs", "path": str(folder / "songs")}]}))
    config = "model_configs/snac_dit_tiny.json"
    run("pre_encode.py", "--model-config", config, "--dataset-config", audio, "--output-path", folder / "codes")
    return audio, folder / "codes" / "dataset_config.json"
