"""What the page takes at most; the command takes any."""

from pathlib import Path
from typing import Any

from snac_plugin.data.audio_file import read_header
from snac_plugin.errors import UsageError

MOST_CHUNKS = 20
MOST_SAMPLES = 8
MOST_MINUTES = 60


def check_count(count: Any) -> None:
    """UsageError for a number of samples that the page does not make at once."""
    if not 1 <= int(count) <= MOST_SAMPLES:
        raise UsageError("batch_size", count, f"1 to {MOST_SAMPLES} at once on the page", "generate.py takes any number.")


def check_length(path: str | Path) -> None:
    """UsageError for a recording that is too long for the page, AudioError for one that cannot be read."""
    seconds, _ = read_header(path)
    if seconds > 60 * MOST_MINUTES:
        found, expected = f"{seconds / 60:.0f} minutes", f"at most {MOST_MINUTES} minutes on the page"
        raise UsageError(Path(path).name, found, expected, "generate.py takes any length.")
