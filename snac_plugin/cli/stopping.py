"""What stops a command from outside: Ctrl-C, a job that is ended (SIGTERM), a terminal that is closed (SIGHUP)."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class StoppedBySignal(KeyboardInterrupt):
    """A signal that does what Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def as_by_ctrl_c() -> Iterator[None]:
    """Let these signals raise a KeyboardInterrupt, each but once, so that files are finished. What nohup ignores stays ignored."""

    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise StoppedBySignal(number)

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    caught = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def exit_status(stopped: KeyboardInterrupt) -> int:
    """As a shell has it: 128 and the signal's number."""
    return 128 + (stopped.number if isinstance(stopped, StoppedBySignal) else signal.SIGINT)
