"""How much memory does it take to continue or repaint a long stereo recording?

    python benchmarks/recording_memory.py
    python benchmarks/recording_memory.py --base REV --minutes 10

Runs `generate.py` in a process of its own on a recording of an hour, and prints the most memory that it had; and on one of
a minute, so that what model and libraries take can be told from what the recording does.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measure
import numpy as np
import soundfile
from two_commits import ROOT, checkout, commit_of

RATE = 44100


def write_recording(path: Path, minutes: float) -> None:
    """A stereo file of a tone and some noise, second by second."""
    time, noise = np.arange(RATE) / RATE, np.random.default_rng(0).normal(0, 0.01, (RATE, 2))
    second = 0.2 * np.sin(2 * np.pi * 220 * time)[:, None] + noise
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(round(60 * minutes)):
            file.write(second)


def peak_megabytes(tree: Path, folder: Path, *flags: object) -> float:
    """The most memory that `generate.py` of a checkout had."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_WAIT_POLICY": "PASSIVE"}
    words = ["generate.py", "--out", folder, "--seed", 1, "--steps", 4, *flags]
    command = [sys.executable, *map(str, words)]
    child = subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return usage.ru_maxrss / 1024


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser("recording_memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", metavar="REV", help="a commit to measure in place of the working tree")
    parser.add_argument("--minutes", type=float, default=60, help="length of the long recording (%(default)s)")
    parser.add_argument("--ways", nargs="+", choices=("continued", "repainted"), default=["continued", "repainted"])
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = ROOT if args.base is None else checkout(commit_of(args.base), folder / "tree")
        rows = []
        for minutes in (1.0, args.minutes):
            file = folder / f"{minutes:g}.wav"
            write_recording(file, minutes)
            middle = round(30 * minutes)
            ways = {
                "continued": ["--continue", file, "--seconds", 1],
                "repainted": ["--edit", file, "--repaint", f"{middle}:{middle + 1}", "--put-back"],
            }
            rows += [[way, minutes, peak_megabytes(tree, folder / "out", *ways[way])] for way in args.ways]
        print(measure.table(["what", "minutes of recording", "most memory, MB"], rows))


if __name__ == "__main__":
    main()
