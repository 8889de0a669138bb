"""Read every file of a dataset once, and tell what is in it: which files, of what kind, how loud, cut where, which twice."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from snac_plugin.data.audio_file import UnreadableAudio
from snac_plugin.data.audio_folders import AudioFile, Rejected
from snac_plugin.data.file_list import scan_dataset
from snac_plugin.data.file_measures import Measures, measure
from snac_plugin.files import printable
from snac_plugin.wording import counted

SHOWN = 10
"""Files of each kind that a report names; the list has all."""

TWICE = "the same samples as"

Found = Measures | UnreadableAudio


class Collection(NamedTuple):
    files: list[tuple[AudioFile, Measures]]
    rejected: list[Rejected]  # duplicates among them


def measure_dataset(
    config: Mapping[str, Any], sample_rate: int, *, workers: int = 1, keep_duplicates: bool = False, progress: bool = True
) -> Collection:
    """Scan an audio_dir dataset and read each of its files once, in so many processes.

    Of files with the same samples the first is accepted, the others are not unless `keep_duplicates`.
    """
    scans = scan_dataset(config, sample_rate)
    found = Collection([], [each for scan in scans for each in scan.rejected])
    files = {os.path.abspath(file.path): file for scan in scans for file in scan.files}  # a folder may be named twice
    first: dict[str, Path] = {}
    seconds = sum(file.seconds for file in files.values())
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
    with tqdm(total=seconds or None, desc="Reading", bar_format=layout, disable=not (progress and files)) as bar:
        for file, result in zip(files.values(), _measured([file.path for file in files.values()], workers), strict=True):
            bar.update(file.seconds)
            if isinstance(result, UnreadableAudio):
                found.rejected.append(Rejected(file.path, result.reason))
            elif result.digest in first and not keep_duplicates:
                found.rejected.append(Rejected(file.path, f"{TWICE} {printable(first[result.digest])}"))
            else:
                first.setdefault(result.digest, file.path)
                found.files.append((file, result))
    return found


def _measured(paths: Sequence[Path], workers: int) -> Iterator[Found]:
    if workers <= 1:
        yield from map(_measure, paths)
        return
    # Ctrl-C reaches every process of a terminal; this one ends the others.
    with ProcessPoolExecutor(workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.map(_measure, paths)


def _measure(path: Path) -> Found:
    try:
        return measure(path)
    except UnreadableAudio as error:
        return error


def report(collection: Collection) -> str:
    """A page of Markdown about a collection."""
    files, rejected = collection
    lines = [f"# {counted(len(files), 'file')} accepted, {len(rejected)} left out", ""]
    if files:
        lines += [*_table(files), "", *_kinds(files), *_named(files)]
    if rejected:
        count = Counter(TWICE if each.reason.startswith(TWICE) else each.reason for each in rejected)
        lines += ["", "## Left out", "", *(f"* {number}: {reason}" for reason, number in count.most_common(SHOWN)), ""]
        lines += _first(rejected, lambda each: f"{printable(each.path)}: {each.reason}")
    return "\n".join(lines) + "\n"


def _table(files: Sequence[tuple[AudioFile, Measures]]) -> list[str]:
    """Least, middle and largest of each measure."""
    rows = ["| | least | middle | largest | all |", "|---|---|---|---|---|"]
    kinds: dict[str, tuple[str, Callable[[Measures], float | None]]] = {
        "length, s": (".1f", lambda found: found.seconds),
        "loudness, LUFS": (".1f", lambda found: found.loudness),
        "peak, dB": (".1f", lambda found: 20 * float(np.log10(found.peak))),
        "bandwidth, Hz": (",.0f", lambda found: found.bandwidth),
    }
    for name, (form, of) in kinds.items():
        values = [value for _, found in files if (value := of(found)) is not None]
        cells = [format(value, form) for value in (min(values), float(np.median(values)), max(values))] if values else ["-"] * 3
        total = f"{sum(values) / 3600:.2f} hours" if name.startswith("length") else ""
        rows.append(f"| {name} | {' | '.join(cells)} | {total} |")
    return rows


def _kinds(files: Sequence[tuple[AudioFile, Measures]]) -> list[str]:
    """Rates and channels, the commonest first."""
    count = Counter(f"{found.rate:,} Hz, {counted(found.channels, 'channel')}" for _, found in files)
    return [f"* {number} of {kind}" for kind, number in count.most_common()]


def _named(files: Sequence[tuple[AudioFile, Measures]]) -> list[str]:
    """Files that were cut off, and files whose spectrum was."""
    short = [f"{printable(file.path)}: {file.note}" for file, _ in files if file.note]
    narrow = [f"{printable(file.path)}: nothing above {found.bandwidth:,.0f} Hz" for file, found in files if found.cut]
    lines = ["", "## Cut off", "", *_first(short, str)] if short else []
    title = f"## {len(narrow)} with a spectrum that ends abruptly, as MP3 files and converted ones have it"
    return [*lines, "", title, "", *_first(narrow, str)] if narrow else lines


def _first(entries: Sequence[Any], text: Callable[[Any], str]) -> list[str]:
    more = [f"* and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
    return [f"* {text(entry)}" for entry in entries[:SHOWN]] + more
