"""Random changes to JSON configs and to bytes."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 0.5, 1.5, -0.5, 1e30, -1e30, 1e-30, 10**30, float("nan"), float("inf"), "",
    " ", "A", "nan",
    "AB", "euler", "é\udcff", "./nowhere", [], {}, [[]], [0], [None], {"A": 1}, {"": None}, {"A": "B"}, ["A", "A"], [1, 2, 3],
    "x" * 300,
]  # fmt: skip
NUMBERS = [0, 1, 2, 3, 4, 5, 8, 15, 16, 64, -1, 0.0, 0.01, 0.1, 0.25, 0.5, 0.9, 1.0, 1.5, 3.0, 100.0, -1.0]
WORDS = [
    "logits", "velocity", "posterior", "v", "rectified_flow", "pingpong-codes", "euler", "dpmpp-3m-sde", "rk4", "uniform",
    "logit_normal", "trunc_logit_normal", "A", "AB", "ABCD", "BA", "Adam", "SGD", "FusedAdam", "StepLR", "InverseLR", "number",
    "list",
    "class_mixture", "quality", "snac_context", "adaln_zero", "house", "C major", "l1", "mrstft", "mrmel", "dac", "oobleck",
    "masked", "masked-halton", "adaptive", "time_warp", "cosine", "frame", "code", "spans", "own", "magnitude-preserving",
    "x-transformers", "stable-audio-tools",
]  # fmt: skip
CHANGES = ["odd", "odd", "delete", "delete", "rename", "add", "wrap", "scale", "scale", "copy", "repeat", *["typed"] * 8]
KEYS = ["A", "D", "Z", "", "type", "config", "id", "steps", "levels", "weights", "lr", "é"]

Path = tuple[str | int, ...]


def mutated(content: Any, random: np.random.Generator) -> tuple[Any, str]:
    """A copy with one to three changes, and what they are."""
    content, notes = copy.deepcopy(content), []
    for _ in range(random.choice([1, 1, 1, 1, 2])):
        places = list(_places(content))
        if not places:
            break
        notes.append(_change(content, places[random.integers(len(places))], places, random))
    return content, "; ".join(notes)


def _places(content: Any, path: Path = ()) -> Iterator[Path]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _at(content: Any, path: Path) -> Any:
    for key in path:
        content = content[key]
    return content


def _change(content: Any, path: Path, places: list[Path], random: np.random.Generator) -> str:
    parent, key = _at(content, path[:-1]), path[-1]
    value = parent[key]
    kind = str(random.choice(CHANGES))
    if kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(key, str):
        parent[f"{key}s"] = parent.pop(key)
    elif kind == "add" and isinstance(value, dict):
        value[str(random.choice(KEYS))] = _one_of(ODD, random)
    elif kind == "typed" and isinstance(value, bool | int | float | str):
        parent[key] = not value if isinstance(value, bool) else _one_of(WORDS if isinstance(value, str) else NUMBERS, random)
    elif kind == "wrap":
        parent[key] = [value] if random.random() < 0.5 else {"A": value}
    elif kind == "scale" and isinstance(value, int | float):
        parent[key] = [-value, value * 2, value * 0, value + 1, value / 2, value * 1e6, str(value)][random.integers(7)]
    elif kind == "copy":
        parent[key] = copy.deepcopy(_at(content, places[random.integers(len(places))]))
    elif kind == "repeat" and isinstance(value, list):
        parent[key] = value * 2 if random.random() < 0.5 else value[:-1]
    else:
        parent[key] = _one_of(ODD, random)
    return f"{kind} {'.'.join(map(str, path))} {str(parent[key])[:60] if key in _keys(parent) else ''}"


def _one_of(values: list[Any], random: np.random.Generator) -> Any:
    return copy.deepcopy(values[random.integers(len(values))])


def _keys(parent: Any) -> Any:
    return parent if isinstance(parent, dict) else range(len(parent))


def mutated_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """Flipped, cut, doubled, filled or shuffled, often in the header."""
    data = np.frombuffer(content, np.uint8).copy()
    for _ in range(random.choice([1, 1, 2, 3])):
        size = len(data)
        if not size:
            break
        near = min(size, int(random.choice([64, 512, size])))
        start, length = int(random.integers(near)), int(random.choice([1, 4, 8, 256, 5000]))
        kind = random.choice(["flip", "flip", "flip", "cut", "fill", "insert", "double", "remove"])
        if kind == "flip":
            places = random.integers(0, near, random.choice([1, 2, 8, 100]))
            data[places] ^= random.integers(1, 256, len(places)).astype(np.uint8)
        elif kind == "cut":
            data = data[: int(random.integers(size + 1))]
        elif kind == "fill":
            data[start : start + length] = random.choice([0, 255, 127, 128])
        elif kind == "insert":
            data = np.concatenate([data[:start], random.integers(0, 256, length).astype(np.uint8), data[start:]])
        elif kind == "double":
            data = np.concatenate([data[: start + length], data[start:]])
        else:
            data = np.concatenate([data[:start], data[start + length :]])
    return data.tobytes()
