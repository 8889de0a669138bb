"""Generations of a page in the background: one computes at a time, in the order they came; each can be stopped within a step."""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from snac_plugin.generation.stages import Stopped

log = logging.getLogger(__name__)
BEAT = 0.25
"""Seconds after which a run that has nothing to tell gives way, so that a client that left is noticed."""


class Progress(NamedTuple):
    share: float  # done, in [0, 1]
    text: str
    left: float | None = None  # seconds that it still takes, once that is known


def duration(seconds: float) -> str:
    """A time in seconds, or from 100 s on in minutes."""
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{seconds / 60:.0f} min"


Tell = Callable[[Progress], None]  # raises Stopped once the run is to end


class Line:
    """Whose turn it is: the first computes, the others wait behind it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.finishing = threading.Lock()  # held by who writes its files while the next computes
        self.runs: list[Run] = []
        self.numbers = itertools.count(1)
        self.seconds_per_work: float | None = None  # as the last run on this server took

    def wait(self, run: "Run") -> None:
        """Until it is the run's turn, or it was stopped."""
        with self.changed:
            self.changed.wait_for(lambda: run.stopped or self.runs[0] is run)

    def leave(self, run: "Run") -> None:
        """Let the next compute; who has left already stays out."""
        with self.changed:
            if run in self.runs:
                self.runs.remove(run)
            self.changed.notify_all()

    def place(self, run: "Run") -> Progress | None:
        """How many are before a run that waits, and how long they will take; None if it does not wait."""
        with self.changed:
            before = self.runs[: self.runs.index(run)] if run in self.runs else []
        if not before:
            return None
        seconds = [one.seconds_left(self.seconds_per_work) for one in before]
        wait = "" if None in seconds else f" · begins in about {duration(sum(filter(None, seconds)))}"
        return Progress(0.0, f"Place {len(before)} in the queue{wait}")


class Run:
    """One generation: `work` is called in a thread, with the run itself, which takes its progress.

    Args:
        amount: how much it computes, in any unit that all runs of a line share; 0 for what the time of others does not follow from.
        session: whose it is, for the log.
    """

    def __init__(self, work: Callable[["Run"], Any], line: Line, amount: float = 1.0, session: str = "") -> None:
        self._work, self._line, self._amount = work, line, amount
        self._name = f"request {next(line.numbers)} of {session[:8] or 'nobody'}"
        self._result: Future[Any] = Future()
        self._news: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._stopped, self._began, self._latest, self._told = threading.Event(), 0.0, Progress(0.0, ""), 0.0
        self.stopped_early = False  # before its work was done
        self.heard: list[str] = []  # where the page finds what is finished of the first sample, piece after piece

    def start(self) -> None:
        log.info("%s: asked", self._name)
        with self._line.changed:
            self._line.runs.append(self)
        threading.Thread(target=self._compute, daemon=True).start()

    def stop(self) -> None:
        """Let it end within a step; what is finished is kept."""
        if not self.stopped and not self.done:
            log.info("%s: stopped", self._name)
        self._stopped.set()
        with self._line.changed:
            self._line.changed.notify_all()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    @property
    def done(self) -> bool:
        return self._result.done()

    @property
    def keeps_others_waiting(self) -> bool:
        with self._line.changed:
            return len(self._line.runs) > 1 and self._line.runs[0] is self

    def seconds_left(self, per_work: float | None) -> float | None:
        """Seconds that it still takes, by its own word or by the speed of the run before; None if neither is known."""
        if self._latest.left is not None:
            return max(0.0, self._latest.left - (time.perf_counter() - self._told))
        return None if per_work is None else per_work * self._amount * (1 - self._latest.share)

    def news(self) -> Progress | None:
        """The latest progress, or place in the line, after waiting `BEAT` for some at most."""
        latest = None
        try:
            latest = self._news.get(timeout=BEAT)
            while True:
                latest = self._news.get_nowait()
        except queue.Empty:
            return latest or self._line.place(self)

    def result(self) -> Any:
        """What `work` returned or raised; None if it was stopped before it began."""
        return self._result.result()

    def tell(self, progress: Progress) -> None:
        if self.stopped:
            raise Stopped
        if progress.share and not self._latest.share:
            log.info("%s: first step", self._name)
        self._latest, self._told = progress, time.perf_counter()
        self._news.put(progress)

    def computed(self) -> None:
        """Only its files are to be written: the next may compute."""
        log.info("%s: gives way", self._name)
        self._line.leave(self)
        self._line.finishing.acquire()
        self._finishing = True

    def _compute(self) -> None:
        self._line.wait(self)  # one that was stopped may still compute its last audio
        self._began, self._finishing = time.perf_counter(), False
        result, failure = None, None
        try:
            result = None if self.stopped else self._work(self)
            if self._amount and not self.stopped:
                self._line.seconds_per_work = (time.perf_counter() - self._began) / self._amount
        except BaseException as error:
            failure = error
        self.stopped_early = self.stopped
        if self._finishing:
            self._line.finishing.release()
        self._line.leave(self)  # before anybody is told: who asks then finds the line free
        log.info("%s: ends", self._name)
        if failure is None:
            self._result.set_result(result)
        else:
            self._result.set_exception(failure)


class Runs:
    """The runs of a page by browser session, so that a session stops its own."""

    def __init__(self) -> None:
        self._line, self._changing = Line(), threading.Lock()  # handlers of one session run in several threads
        self._of_session: dict[str, list[Run]] = {}
        self._expected: dict[str, list[bool]] = {}  # by session, for each run that is not made yet, whether it was stopped already

    def expect(self, session: str) -> None:
        """A run was asked for, which may wait in a queue."""
        with self._changing:
            self._expected.setdefault(session, []).append(False)

    def expected(self, session: str) -> bool:
        """Whether the page itself asked for the next generation of a session, not a client without one."""
        return bool(self._expected.get(session))

    def settle(self, session: str) -> None:
        """Expect nothing of a session that runs nothing: gradio refused a value before the handler of its run began."""
        with self._changing:
            if session not in self._of_session:
                self._expected.pop(session, None)

    def new(self, session: str, work: Callable[[Run], Any], amount: float = 1.0, expected: bool = False) -> Run:
        """A run of a session; `expected`: one that `expect` told of, which was stopped if Stop was pressed since."""
        run = Run(work, self._line, amount, session)
        with self._changing:
            self._of_session.setdefault(session, []).append(run)
            if expected and self.expected(session) and self._expected[session].pop(0):
                run.stop()
        return run

    def end(self, session: str, run: Run) -> None:
        """Stop and forget a run."""
        run.stop()
        with self._changing:
            self._of_session[session].remove(run)
            if not self._of_session[session]:
                del self._of_session[session]

    def stop(self, session: str) -> None:
        """Stop what a session runs or waits for."""
        with self._changing:
            if session in self._expected:
                self._expected[session] = [True] * len(self._expected[session])
            for run in self._of_session.get(session, []):
                run.stop()
