"""A checkout of another commit, and commands that run in a checkout as its user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., str]


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
