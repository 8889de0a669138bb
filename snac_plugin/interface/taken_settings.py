"""What the inputs stand for since settings were taken: recordings that have to be put in, and a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError
from snac_plugin.generation.batch import place_in_batch


@dataclass
class Taken:
    """Of one session."""

    mode: str = ""
    needed: dict[str, str] = field(default_factory=dict)  # by input, the recordings that settings name and the browser lacks
    by_hand: set[str] = field(default_factory=set)  # inputs into which the user put another one, who was told
    batch: tuple[int, int] | None = None  # its seed and its size

    def lacks(self, values: Mapping[str, Any]) -> dict[str, str]:
        """By input, the recordings that are still not there."""
        return {
            parameter: name
            for parameter, name in self.needed.items()
            if not (path := values.get(parameter)) or (parameter not in self.by_hand and Path(path).name != name)
        }


class TakenSettings:
    """By session."""

    def __init__(self) -> None:
        self._of: dict[str, Taken] = {}

    def forget(self, session: str) -> None:
        self._of.pop(session, None)

    def take(self, session: str, settings: Mapping[str, Any], mode: str = "", needed: Mapping[str, str] | None = None) -> str:
        """Remember settings, and what to know of a sample that was made with others; ValueError, KeyError for none of ours."""
        place = place_in_batch(settings)
        known = self._of[session] = Taken(mode, dict(needed or {}))
        if place is None:
            return ""
        number, count, first = place
        known.batch = first, count
        return f"That sample is number {number} of {count} made at once, from seed {first} on: only all {count} come out the same."

    def put_in(self, session: str, parameter: str, path: str | None) -> str:
        """What is to be done once a user has put a recording into an input, or has taken it out."""
        known = self._of.get(session, Taken())
        (known.by_hand.add if path else known.by_hand.discard)(parameter)
        return asking({one: name for one, name in known.needed.items() if one not in known.by_hand})

    def of_fewer(self, session: str, seed: float | None, count: float | None) -> tuple[str, bool]:
        """What another number of samples does to a batch, and whether that is to be heeded; "" if it is none."""
        first, whole = self._of.get(session, Taken()).batch or (None, 0)
        if first is None or seed != first:
            return "", False
        if count == whole:
            return f"All {whole} samples from seed {first} on come out as they were.", False
        return f"Seed {first} stands for {whole} samples made at once: another number of them come out otherwise.", True

    def refuse_lacking(self, session: str, values: Mapping[str, Any]) -> None:
        """UsageError where settings were made with a recording that is not there: another sample would come out."""
        known = self._of.get(session, Taken())
        if values["edit_mode"] != known.mode or not (lacking := known.lacks(values)):
            return
        found = [f"{Path(values[one]).name if values.get(one) else 'nothing'} in place of {name}" for one, name in lacking.items()]
        advice = "Put it in, or press another mode to make something else."
        raise UsageError("edit", " and ".join(found), "what the settings were made with", advice)


def asking(lacking: Mapping[str, str]) -> str:
    """What is to be done where settings name recordings that are not there."""
    return f"Put in {' and '.join(lacking.values())} too, then Generate: settings only name a recording." if lacking else ""
