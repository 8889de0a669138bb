"""One training at a time in a run's folder, which goes again if the training never began."""

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from snac_plugin.errors import UsageError
from snac_plugin.files import make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

LOCK = "training.lock"
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, for this training; its first process does so for all.

    The system gives the lock up when the process ends, however it ends. UsageError: another process holds it, by its number.
    """
    if any(os.environ.get(rank, "0") != "0" for rank in RANKS):
        yield
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = _lock(make_folder("--save-dir", folder))
    try:
        for part in (folder / "checkpoints").glob(".*.part"):  # of a training that was killed while it saved
            part.unlink()
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.close()
        empty = [*sorted((place for place in folder.rglob("*") if place.is_dir()), reverse=True), *made] if made else []
        for place in empty:
            with contextlib.suppress(OSError):  # it holds something
                place.rmdir()


def _lock(folder: Path) -> TextIO:
    path = folder / LOCK
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise UsageError("--save-dir", f"{path} ({error.strerror})", "a file that can be written to") from None
        try:
            if fcntl is not None:  # a lock of the process: workers that outlive it do not hold it
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = file.read().strip() or "another process"
                file.close()
                advice = "Name another --save-dir, or end that process first."
                raise UsageError("--save-dir", f"{folder}, in which {holder} is training", "a folder of its own", advice) from None
            log.warning("%s: no lock against a second training there: %s", path, error)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else its holder has just ended and removed it
                break
        file.close()
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
    file.flush()
    return file
