"""Generations of a page in the background: one computes at a time, and each can be stopped within a step."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from snac_plugin.generation.stages import Stopped

BEAT = 0.25
"""Seconds after which a run that has nothing to tell gives way, so that a client that left is noticed."""


class Progress(NamedTuple):
    share: float  # done, in [0, 1]
    text: str


Tell = Callable[[Progress], None]  # raises Stopped once the run is to end


class Run:
    """One generation: `work` is called in a thread with a function that takes its progress."""

    def __init__(self, work: Callable[[Tell], Any], computing: threading.Lock) -> None:
        self._work, self._computing = work, computing
        self._result: Future[Any] = Future()
        self._news: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._compute, daemon=True).start()

    def stop(self) -> None:
        """Let it end within a step; what is finished is kept."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    @property
    def done(self) -> bool:
        return self._result.done()

    def news(self) -> Progress | None:
        """The latest progress, after waiting `BEAT` for some at most."""
        latest = None
        try:
            latest = self._news.get(timeout=BEAT)
            while True:
                latest = self._news.get_nowait()
        except queue.Empty:
            return latest

    def result(self) -> Any:
        """What `work` returned or raised; None if it was stopped before it began."""
        return self._result.result()

    def _compute(self) -> None:
        with self._computing:  # one that was stopped may still finish its files
            try:
                self._result.set_result(None if self.stopped else self._work(self._tell))
            except BaseException as error:
                self._result.set_exception(error)

    def _tell(self, progress: Progress) -> None:
        if self.stopped:
            raise Stopped
        self._news.put(progress)


class Runs:
    """The runs of a page by browser session, so that a session stops its own."""

    def __init__(self) -> None:
        self._computing = threading.Lock()
        self._of_session: dict[str, list[Run]] = {}
        self._expected: dict[str, bool] = {}  # sessions whose next run is not made yet; True if it was stopped already

    def expect(self, session: str) -> None:
        """A run was asked for, which may wait in a queue."""
        self._expected[session] = False

    def new(self, session: str, work: Callable[[Tell], Any]) -> Run:
        run = Run(work, self._computing)
        self._of_session.setdefault(session, []).append(run)
        if self._expected.pop(session, False):
            run.stop()
        return run

    def end(self, session: str, run: Run) -> None:
        """Stop and forget a run."""
        run.stop()
        self._of_session[session].remove(run)
        if not self._of_session[session]:
            del self._of_session[session]

    def stop(self, session: str) -> None:
        """Stop what a session runs or waits for."""
        if session in self._expected:
            self._expected[session] = True
        for run in self._of_session.get(session, []):
            run.stop()
