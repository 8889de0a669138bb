"""One training, or one pre-encoding, at a time in a folder, which goes again if it never began."""

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from snac_plugin.errors import UsageError
from snac_plugin.files import make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


class Work(NamedTuple):
    flag: str  # that names the folder
    lock: str  # file in it
    doing: str
    parts: str  # half-written files in it


TRAINING = Work("--save-dir", "training.lock", "training", "checkpoints/.*.part")
PRE_ENCODING = Work("--output-path", ".encoding.lock", "encoding", "**/.*.part")
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK")


@contextlib.contextmanager
def locked(folder: Path, work: Work = TRAINING) -> Iterator[None]:
    """Hold a folder, made if need be, for this training or other work; its first process does so for all.

    The system gives the lock up when the process ends, however it ends. UsageError: another process holds it, by its number.
    """
    if any(os.environ.get(rank, "0") != "0" for rank in RANKS):
        yield
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = _lock(make_folder(work.flag, folder), work)
    try:
        for part in folder.glob(work.parts):  # of one that was killed while it wrote
            part.unlink()
        yield
    finally:
        (folder / work.lock).unlink(missing_ok=True)
        lock.close()
        empty = [*sorted((place for place in folder.rglob("*") if place.is_dir()), reverse=True), *made] if made else []
        for place in empty:
            with contextlib.suppress(OSError):  # it holds something
                place.rmdir()


def _lock(folder: Path, work: Work) -> TextIO:
    path = folder / work.lock
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise UsageError(work.flag, f"{path} ({error.strerror})", "a file that can be written to") from None
        try:
            if fcntl is not None:  # a lock of the process: workers that outlive it do not hold it
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = file.read().strip() or "another process"
                file.close()
                advice = f"Name another {work.flag}, or end that process first."
                found = f"{folder}, in which {holder} is {work.doing}"
                raise UsageError(work.flag, found, "a folder of its own", advice) from None
            log.warning("%s: no lock against others that work there: %s", path, error)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else its holder has just ended and removed it
                break
        file.close()
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
    file.flush()
    return file
