"""Many samples in one run: for each the options of a request, a seed and a recording to continue. Imports nothing heavy."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snac_plugin.errors import Mismatch, UsageError, did_you_mean
from snac_plugin.generation.batch import PER_SAMPLE, with_conditions
from snac_plugin.generation.option_rules import BESIDE_RECORDINGS, LENGTHS, check_recording
from snac_plugin.generation.request import OPTIONS, PAIRS, Request

KEYS = (*OPTIONS, "seed", "context")


@dataclass(frozen=True)
class Job:
    """What one of many prompts asks for."""

    request: Request
    seed: int  # -1 for a random one
    context: Any = None  # what it continues: a file, or audio
    where: str = ""  # the line that asks for it

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Errors in the block name the line."""
        try:
            yield
        except Mismatch as error:
            if not self.where:
                raise
            expected, advice = (text.replace("`", "") for text in (error.expected, error.advice))  # lines have no flags
            raise UsageError(f"{self.where}: {error.where}", error.found, expected, advice) from None


def prompts_of(
    entries: Iterable[Mapping[str, Any] | None], common: Mapping[str, Any] | None = None, where: str = "prompt"
) -> list[Job]:
    """Prompts from one mapping each: fields of `Request` by name, `seed` and `context`, over those in common.

    Conditions go over those in common by name; None takes all of them away. Prompts without a seed count up from the one in
    common; None stands for no prompt. What is said in common of recordings holds for prompts that have one. Raises UsageError
    that names the prompt by its number, from 1 on.
    """
    found: list[Job] = []
    common = dict(common or {})
    for number, entry in enumerate(entries, 1):
        if entry is None:
            continue
        if unknown := next((key for key in entry if key not in KEYS), None):
            expected = f"one of {', '.join(KEYS)}"
            raise UsageError(f"{where} {number}", f"the key {unknown!r}", expected, did_you_mean(unknown, KEYS))
        ruled_out = LENGTHS if {*LENGTHS} & entry.keys() else ()
        values = {key: value for key, value in common.items() if key not in ruled_out} | dict(entry)
        values |= {name: with_conditions(common.get(name), entry[name]) for name in PER_SAMPLE if entry.get(name) is not None}
        values |= {name: tuple(values[name]) for name in PAIRS if isinstance(values.get(name), list)}
        seed, context = values.pop("seed", -1), values.pop("context", None)
        if "seed" not in entry and seed >= 0:
            seed += len(found)
        if context is None and not values.keys() & {"edit", "before", "bridge"}:
            values = {key: value for key, value in values.items() if key in entry or key not in BESIDE_RECORDINGS}
        prompt = Job(Request(), seed, context, f"{where} {number}")
        with prompt.named():
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < -1:
                raise UsageError("seed", seed, "a whole number, 0 or more, or -1 for a random one")
            found.append(replace(prompt, request=Request(**values)))
            check_recording(found[-1].request, context is not None)
    if not any(one.context is not None or one.request.edits for one in found):
        check_recording(Request(**{name: common[name] for name in BESIDE_RECORDINGS if name in common}), False)
    return found


def read_prompts(path: str | Path, common: Mapping[str, Any] | None = None) -> list[Job]:
    """Prompts from a file of JSON objects, one a line; empty lines say nothing. Raises as `prompts_of`, with the line's number."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("prompts", f"{path} ({error})", "a text file with a JSON object in each line") from None
    entries: list[dict[str, Any] | None] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}: line {number}", f"{line[:60]!r} ({error})", "a JSON object") from None
        if not isinstance(entry, dict | None):
            raise UsageError(f"{path}: line {number}", repr(line[:60]), "a JSON object")
        entries.append(entry)
    if not any(entries):
        raise UsageError("prompts", f"no prompt in {path}", "a JSON object in each line")
    return prompts_of(entries, common, f"{path}: line")
