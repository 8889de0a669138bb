"""What the tests of the benchmarks share: sizes that take seconds, and a look at what was written."""

import json
from pathlib import Path

from tiny import CHUNK_FRAMES

FRAME, RATE = 3072, 32000
WINDOW = 3 * CHUNK_FRAMES
NETWORK = ["--dim", "32", "--depth", "2", "--heads", "2", "--chunk-frames", str(CHUNK_FRAMES)]
COMMON = ["--threads", "1", "--device", "cpu"]


def results(folder: Path, name: str) -> dict:
    """What a benchmark wrote, after a look at its table."""
    assert "| --- |" in (folder / f"{name}.md").read_text()
    return json.loads((folder / f"{name}.json").read_text())
