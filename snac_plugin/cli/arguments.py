"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
import json
from typing import Any


def steps(text: str) -> int | list[int] | dict[str, int]:
    """ "48", "6,8,10,24" or "A=6,B=8,C=10,D=24"."""
    try:
        if "=" in text:
            pairs = [part.split("=") for part in text.split(",")]
            named = {name.strip().upper(): int(count) for name, count in pairs}
            if len(named) < len(pairs):
                raise ValueError
            return named
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 48, or A=6,B=8,C=10,D=24 with one entry a level") from None
    return counts[0] if len(counts) == 1 else counts


def with_prompt(conditioning: dict[str, Any] | None, prompt: str | None) -> dict[str, Any] | None:
    """Conditioning with what --prompt says in it."""
    return conditioning if prompt is None else {**(conditioning or {}), "prompt": prompt}


def json_object(text: str) -> dict[str, Any]:
    """A JSON object, '{"prompt": "techno"}'."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a JSON object")
    return value
