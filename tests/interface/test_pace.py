"""What is said of a request while it computes, and how long it still takes, by the steps that were measured of each level."""

import pytest

from snac_plugin.interface import pace
from snac_plugin.interface.pace import Pace, Reporter
from snac_plugin.interface.runs import Progress

STEPS, SECONDS = (2, 3, 0, 4), (1.0, 2.0, 0.0, 10.0)
"""Of each level; the third one is kept."""
SEEN = 2.5
"""How many times as long a step takes in a chunk that sees another."""
BETWEEN, END, FILES = 5.0, 7.0, 33.0


class Clock:
    """Time that passes only where a generation works."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def run(clock: Clock, known: Pace, chunks: int) -> tuple[list[Progress], list[float]]:
    """All that a generation tells, and the seconds that it really took from there."""
    told: list[Progress] = []
    report, moments = Reporter(told.append, "ABCD", STEPS, chunks, 1, known), []
    clock.now += 30  # a recording is encoded
    for chunk in range(chunks):
        first = True
        for level, count in enumerate(STEPS):
            for step in range(count):
                between = BETWEEN if chunk else 0.0
                clock.now += between if first and chunk else SECONDS[level] * (SEEN if chunk else 1)
                first = False
                report(chunk, level, step)
                moments.append(clock.now)
    clock.now += END
    report.finished()
    took = [clock.now - moment for moment in moments]
    clock.now += FILES
    report.written()
    return told, took


def test_the_time_left_is_what_it_takes_once_all_levels_were_measured(clock: Clock) -> None:
    """It was taken from the share of steps, and said a third: steps of fine levels take longer."""
    known = Pace()
    told, _ = run(clock, known, 3)
    assert [one.left for one in told[:9]] == [None] * 9, "the second chunk sees one more, and nobody knows yet how slow that is"
    least = 2 * sum(count * seconds for count, seconds in zip(STEPS, SECONDS, strict=True)) - 2 * SECONDS[0]
    assert told[8].text == f"Chunk 1 of 3, decoding to audio · more than {least:.0f} s left", "as quick as the first, at best"
    again, took = run(clock, known, 3)
    assert [one.left for one in again[:-1]] == pytest.approx(took)


def test_what_comes_after_the_steps_is_counted_or_no_time_is_said_there(clock: Clock) -> None:
    """Four seconds were left for forty: long edits are decoded, and pictures of a batch drawn, after the last step."""
    known = Pace()
    told, _ = run(clock, known, 3)
    assert (told[-2].text, told[-1].text) == ("Chunk 3 of 3, decoding to audio", "Writing files, drawing the picture")
    assert all(one.text.endswith(" of steps left") or one.left is None for one in told[:-2])
    again, _ = run(clock, known, 3)
    assert again[-2].text == f"Chunk 3 of 3, decoding to audio · about {END + FILES:.0f} s left"
    assert again[-1].text == f"Writing files, drawing the picture · about {FILES:.0f} s left"
    more, _ = run(clock, known, 4)
    assert more[-2].text == "Chunk 4 of 4, decoding to audio", "of another length it is not known"


def test_one_chunk_says_nothing_until_its_finest_level_was_measured(clock: Clock) -> None:
    told, _ = run(clock, Pace(), 1)
    first = next(place for place, one in enumerate(told) if one.left is not None)
    assert first == STEPS[0] + STEPS[1], "after the first step of level D"


def test_progress_names_chunk_level_and_step_and_what_follows(clock: Clock) -> None:
    told, _ = run(clock, Pace(), 2)
    assert told[0] == (1 / 18, "Chunk 1 of 2, level A, step 1 of 2", None)
    assert told[8].text.startswith("Chunk 1 of 2, decoding to audio · more than ")
    assert told[-1].share == 1
    assert [one.share for one in told] == sorted(one.share for one in told)
    assert run(clock, Pace(), 1)[0][0].text == "Level A, step 1 of 2"


def test_a_pace_follows_a_machine_that_changes(clock: Clock) -> None:
    known = Pace()
    for _ in range(200):
        known.measured("step", 1.0)
    for _ in range(200):
        known.measured("step", 3.0)
    assert known.of({"step": 2}) == pytest.approx(6.0, rel=0.05)
    assert known.of({"other": 1}) is None
