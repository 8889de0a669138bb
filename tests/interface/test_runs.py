"""One run computes at a time, in the order they came; who waits is told how long."""

import threading
import time
from typing import Any

import pytest

from snac_plugin.generation.stages import Stopped
from snac_plugin.interface.runs import Line, Progress, Run, Runs, duration


def held(line: Line, amount: float = 1.0) -> tuple[Run, threading.Event, list[Run]]:
    """A run that computes until it is let go, or stopped."""
    go, began = threading.Event(), []

    def work(run: Run) -> str:
        began.append(run)
        while not go.wait(0.01):
            run.tell(Progress(0.0, "at work"))
        return "done"

    run = Run(work, line, amount)
    run.start()
    return run, go, began


def test_runs_compute_in_the_order_they_came() -> None:
    line, order = Line(), list[int]()
    first, go, _ = held(line)
    others = [Run(lambda run, number=number: order.append(number), line) for number in range(5)]
    for other in others:
        other.start()
    assert order == []
    go.set()
    assert first.result() == "done"
    for other in others:
        other.result()
    assert order == [0, 1, 2, 3, 4]
    assert line.runs == []


def test_who_waits_is_told_its_place_and_how_long() -> None:
    line = Line()
    first, go, _ = held(line, amount=4)
    second, third = Run(lambda run: None, line, 2), Run(lambda run: None, line)
    second.start()
    third.start()
    assert line.place(first) is None
    assert line.place(third) == Progress(0.0, "Place 2 in the queue"), "nothing was measured yet"
    line.seconds_per_work = 3.0
    assert line.place(second) == Progress(0.0, "Place 1 in the queue · begins in about 12 s")
    assert line.place(third) == Progress(0.0, "Place 2 in the queue · begins in about 18 s")
    go.set()
    third.result()
    assert line.seconds_per_work < 3.0


def test_a_run_of_no_amount_says_nothing_of_how_long_others_take() -> None:
    """The codec's run counted as one step of a chunk."""
    line = Line()
    line.seconds_per_work = 3.0
    coded = Run(lambda run: "coded", line, 0.0)
    coded.start()
    assert coded.result() == "coded"
    assert line.seconds_per_work == 3.0


def test_long_waits_are_said_in_minutes() -> None:
    assert [duration(seconds) for seconds in (0.4, 99, 100, 1325)] == ["0 s", "99 s", "2 min", "22 min"]


def test_a_run_that_tells_how_far_it_is_is_taken_at_its_word() -> None:
    run = Run(lambda run: None, Line())
    run.tell(Progress(0.25, "level A", 30.0))
    run._told -= 10
    assert run.seconds_left(1.0) == pytest.approx(20, abs=0.5)
    run._told -= 60
    assert run.seconds_left(1.0) == 0


def test_one_that_is_stopped_while_it_waits_never_begins_and_lets_others_pass() -> None:
    line = Line()
    _, go, _ = held(line)
    waiting, _, began = held(line)
    last = Run(lambda run: "last", line)
    last.start()
    waiting.stop()
    assert waiting.result() is None
    assert began == []
    go.set()
    assert last.result() == "last"


def test_one_that_is_stopped_frees_the_line_even_if_it_fails() -> None:
    line = Line()
    first, _, began = held(line)
    while not began:
        time.sleep(0.01)
    first.stop()
    with pytest.raises(Stopped):
        first.result()
    after = Run(lambda run: "after", line)
    after.start()
    assert after.result() == "after"


def test_the_page_s_own_runs_are_told_from_those_of_clients() -> None:
    runs: Any = Runs()
    runs.expect("page")
    assert (runs.expected("page"), runs.expected("client")) == (True, False)
    runs.stop("page")
    assert runs.new("page", lambda run: None, expected=True).stopped, "Stop was pressed before it began"
    assert not runs.expected("page")


def test_each_generation_that_was_asked_for_is_expected_and_no_other_run_takes_its_place() -> None:
    runs: Any = Runs()
    runs.expect("page")
    coded = runs.new("page", lambda run: None)
    assert runs.expected("page"), "the codec's run took the place of a generation"
    runs.stop("page")
    runs.expect("page")
    made = [runs.new("page", lambda run: None, expected=runs.expected("page")) for _ in range(3)]
    assert [run.stopped for run in (coded, *made)] == [True, True, False, False]
    runs.expect("page")  # and gradio refuses a value
    runs.settle("page")
    assert runs.expected("page"), "another run may be that one's"
    for run in (coded, *made):
        runs.end("page", run)
    runs.settle("page")
    assert not runs.expected("page")


def test_the_next_computes_while_files_of_the_one_before_are_written() -> None:
    """A stopped run drew its picture for seconds while others waited."""
    line, write, order = Line(), threading.Event(), list[str]()

    def work(run: Run) -> str:
        run.computed()
        write.wait(30)
        order.append("written")
        return "first"

    first = Run(work, line)
    first.start()
    second = Run(lambda run: (order.append("computed"), run.computed(), order.append("second written")), line)
    second.start()
    while "computed" not in order:
        time.sleep(0.01)
    write.set()
    assert first.result() == "first"
    second.result()
    assert order == ["computed", "written", "second written"], "files are written one after the other"
    assert line.runs == []
