"""The tables of `choices.py`: means over seeds, their spread, and what is missing.

Letters: S songs, W windows of a song, P noise levels, R rows, T frames, L levels, E resamples.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import measure
import numpy as np
import songs
import torch
from choices_tests import AGREEMENTS, HeldOut
from small_trainings import digest, kept
from songs import signed
from torch import Tensor

from snac_plugin.evaluation.confidence_intervals import Estimate, spread_around
from snac_plugin.evaluation.music_measures import WITHOUT_LIBROSA

REAL, RANDOM = "real, the same places", "random codes"


@dataclass(frozen=True)
class Row:
    """A variant trained with one seed.

    Args:
        seconds: of a training step.
        steps: of the training.
        minutes: of it; None if not all were measured.
        tests: as `choices_tests.tested` gives them.
    """

    seconds: float
    steps: int
    minutes: float | None
    tests: Mapping[str, Mapping[str, Any]]

    @property
    def scores(self) -> Tensor:
        """Error, hits and loss [3, S, P, L]."""
        return torch.tensor(self.tests["scores"]["scores"])

    @property
    def made(self) -> dict[tuple[str, int], Mapping[str, Any]]:
        """Continuations, by sampler and steps."""
        return {(n.rsplit(", ", 1)[0], int(n.rsplit(", ", 1)[1])): part for n, part in self.tests.items() if n != "scores"}


Rows = Mapping[tuple[str, int], Row]
"""By variant and seed."""


def by_variant(rows: Rows) -> dict[str, dict[int, Row]]:
    """The seeds of each variant."""
    found: dict[str, dict[int, Row]] = {}
    for (name, seed), row in rows.items():
        found.setdefault(name, {})[seed] = row
    return found


def spread(values: Sequence[float], digits: int) -> str:
    """Mean over seeds, and their standard deviation where there are several."""
    apart = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{apart}"


def beside(base: Mapping[int, Row], seeds: Mapping[int, Row]) -> tuple[list[Row], list[Row]]:
    """Rows of a variant, and those of the base they are compared with: of the same seeds, or of all where none is the same."""
    same = [seed for seed in seeds if seed in base]
    return ([seeds[s] for s in same], [base[s] for s in same]) if same else ([*seeds.values()], [*base.values()])


def mean_scores(rows: Sequence[Row]) -> Tensor:
    """Over seeds [3, S, P, L]."""
    return torch.stack([row.scores for row in rows]).mean(dim=0)


def cost_rows(found: Mapping[str, Mapping[int, Row]]) -> list[list[str]]:
    """Rows: what a variant costs, and its scores over all levels and noise levels beside the base's."""
    rows = []
    for name, seeds in found.items():
        taken = [row.minutes for row in seeds.values() if row.minutes is not None]
        first = next(iter(seeds.values()))
        cells = [name, str(len(seeds)), f"{first.seconds:.3g}", str(first.steps), spread(taken, 1) if taken else "not measured"]
        for kind, (digits, factor) in enumerate(((3, 1), (2, 100))):
            cells.append(spread([factor * float(row.scores[kind].mean()) for row in seeds.values()], digits))
            if name == "base" or "base" not in found:
                cells.append("")
                continue
            own, base = (factor * mean_scores(side)[kind].mean(dim=(1, 2)) for side in beside(found["base"], seeds))
            cells.append(signed(*songs.mean_and_error(own - base), digits))
        rows.append(cells)
    return rows


def score_rows(found: Mapping[str, Mapping[int, Row]], noise_levels: Sequence[float]) -> list[list[str]]:
    """Rows: error, hits and loss by noise level, variant and level."""
    runs = {name: mean_scores([*seeds.values()]) for name, seeds in found.items()}
    if "base" in found:
        first = next(iter(found["base"].values()))
        runs = {"noised point alone": torch.tensor(first.tests["scores"]["alone"])} | runs
    rows = []
    for index, t in enumerate(noise_levels):
        for name, scores in runs.items():
            error, hits, loss = scores[:, :, index].transpose(1, 2)  # [L, S] each
            shown = [songs.mean_and_error(values) for values in error]
            right = [f"{100 * h.mean():.1f}" for h in hits]
            losses = ["" if one.isnan().any() else f"{one.mean():.3f}" for one in loss]
            rows.append([f"{t:g}", name, *(f"{m:.3f} ± {e:.3f}" for m, e in shown), *right, *losses])
    return rows


def distance_of(made: Sequence[Mapping[str, Any]], songs: int, minus: Sequence[Mapping[str, Any]] = ()) -> Estimate:
    """The distance of so many songs, mean over seeds, with its interval over songs; or that minus others'."""

    def mean(parts: Sequence[Mapping[str, Any]]) -> tuple[float, np.ndarray]:
        found = [part["distance"] for part in parts]
        return statistics.mean(d["value"] for d in found), np.array([d["resampled"] for d in found]).mean(axis=0)

    value, resampled = mean(made)
    if minus:
        other, drawn = mean(minus)
        value, resampled = value - other, resampled - drawn
    found = spread_around(value, resampled) if songs > 3 else Estimate(value)  # two on each side, or a song resamples itself
    return found if minus else replace(found, low=max(found.low, 0.0))


def made_cells(name: str, key: tuple[str, int], found: Mapping[str, Mapping[int, Row]], songs: int) -> list[str]:
    """The distance of a variant's continuations, and that minus the base's; nothing where it has none in so many steps."""
    if any(key not in row.made for row in found[name].values()):
        return ["", ""]
    made = [row.made[key] for row in found[name].values()]
    apart = [part["distance"]["value"] for part in made]
    over_seeds = f"; seeds ± {statistics.stdev(apart):.2f}" if len(made) > 1 else ""
    cells = [distance_of(made, songs).text(2) + over_seeds]
    if name == "base" or "base" not in found:
        return [*cells, ""]
    rows, base = beside(found["base"], found[name])
    sampler = key[0] if key in base[0].made else [*base[0].made][-1][0]
    apart = distance_of([row.made[key] for row in rows], songs, [row.made[sampler, key[1]] for row in base])
    shown = apart.text(2, sign="+")
    return [*cells, f"**{shown}**" if apart.low > 0 or apart.high < 0 else shown]


def heard_cells(made: Sequence[Mapping[str, Any]]) -> list[str]:
    """Codes used, and what is heard: agreement with the context (with other songs' contexts), and the beat's strength."""
    if not made:
        return ["" for _ in range(2 + len(AGREEMENTS))]
    used = np.array([part["used"] for part in made]).mean(axis=0)
    cells = [" / ".join(f"{count:,.0f}" for count in used)]
    for name in AGREEMENTS:
        own, others = (
            np.mean([part[name][whose] for part in made]) if name in part_names(made) else None for whose in ("own", "others")
        )
        cells.append("" if own is None else f"{own:.2f} ({others:.2f})")
    return [*cells, f"{np.mean([part['beat'] for part in made]):.2f}" if "beat" in part_names(made) else ""]


def heard_names(names: str) -> list[str]:
    """Above `heard_cells`."""
    return [f"codes used {' / '.join(names)}", "tempo of the context (others')", "pitch classes (others')", "beat strength"]


def part_names(made: Sequence[Mapping[str, Any]]) -> set[str]:
    """What was measured of all of them."""
    return set.intersection(*(set(part) for part in made))


def made_rows(
    found: Mapping[str, Mapping[int, Row]], known: Mapping[str, Mapping[str, Any]], steps: Sequence[int], songs: int
) -> list[list[str]]:
    """Rows: continuations by variant and sampler, then real chunks, random codes and the floor."""
    rows = []
    for name, seeds in found.items():
        for sampler in dict.fromkeys(key[0] for key in next(iter(seeds.values())).made):
            cells = [name, sampler]
            for count in steps:
                cells += made_cells(name, (sampler, count), found, songs)
            made = {count: [r.made[sampler, count] for r in seeds.values() if (sampler, count) in r.made] for count in steps}
            cost = [spread([part["seconds"] for part in parts], 3) if parts else "" for parts in made.values()]
            rows.append([*cells, *heard_cells(made[steps[-1]]), *cost])
    for name, part in known.items():
        empty = ["" for _ in steps]
        cells = [cell for _ in steps for cell in (distance_of([part], songs).text(2), "")]
        rows.append([name, "", *cells, *heard_cells([part]), *empty])
    floor = [{"distance": next(iter(known.values()))["floor"]}]
    return [*rows, ["recordings of other songs (floor)", "", *(c for _ in steps for c in (distance_of(floor, songs).text(2), ""))]]


def references(args: argparse.Namespace, held_out: HeldOut) -> dict[str, dict[str, Any]]:
    """What the real chunks and random codes measure; kept."""
    real = held_out.windows[..., -held_out.frames :].flatten(0, 1)
    size, generator = held_out.codec.levels.codebook_size, torch.Generator().manual_seed(args.seed)
    kinds = {REAL: real, RANDOM: torch.randint(size, real.shape, generator=generator)}
    path = args.out / "choices" / f"references_{digest(real)[:8]}.json"
    return kept(path, {"seed": args.seed}, lambda: {name: held_out.measured(codes) for name, codes in kinds.items()})


def missing(rows: Rows, planned: Sequence[tuple[str, int]]) -> str:
    """A sentence that names the rows which are not there yet."""
    lacking: dict[str, list[str]] = {}
    for name, seed in planned:
        if (name, seed) not in rows:
            lacking.setdefault(name, []).append(str(seed))
    named = ", ".join(f"{name} (seed {', '.join(seeds)})" for name, seeds in lacking.items())
    return f"Missing, {len(planned) - len(rows)} of {len(planned)}: {named}." if lacking else "Nothing is missing."


def report(
    args: argparse.Namespace,
    device: torch.device,
    held_out: HeldOut,
    rows: Rows,
    planned: Sequence[tuple[str, int]],
    name: str = "choices",
) -> None:
    """Print and write the tables of the rows that are there."""
    levels, windows = held_out.codec.levels, held_out.windows
    about = (
        f"One setting changed at a time. dim {args.dim}, depth {args.depth}, chunks of "
        f"{args.chunk_frames / levels.frames_per_second:.3f} s, batches of {args.batch_size} windows, learning rate "
        f"{args.learning_rate:g}, {args.minutes:g} minutes each. {windows.shape[0]} held-out songs, {windows.shape[1]} windows "
        "each; means over seeds ± their standard deviation; differences (of the same seeds, where there are some) ± standard error "
        f"over songs; in brackets the middle 95 % of a bootstrap over songs. {measure.machine(device)}."
    )
    paragraphs, known = [about, missing(rows, planned)], {}
    if rows:
        known = references(args, held_out)
        paragraphs += tables(args, held_out, rows, known)
    data = {f"{n}, {seed}": vars(row) | {"tests": _without_codes(row.tests)} for (n, seed), row in rows.items()}
    lacking = [list(key) for key in planned if key not in rows]
    measure.report(args, device, name, paragraphs, {"rows": data, "missing": lacking, "references": known})


def _without_codes(tests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in part.items() if key != "codes"} for name, part in tests.items()}


def tables(args: argparse.Namespace, held_out: HeldOut, rows: Rows, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The tables, with what stands above each."""
    names, found, steps = held_out.codec.levels.names, by_variant(rows), sorted(args.steps)
    scored = [f"{kind} {name}" for kind in ("error", "right, %,", "loss") for name in names]
    counted = [cell for count in steps for cell in (f"Frechet distance, {count} steps", "minus base")]
    cost = ["seeds", "seconds a step", "steps", "minutes", "error", "minus base", "codes right, %", "minus base"]
    seconds = [f"seconds a chunk, {count} steps" for count in steps]
    return [
        measure.table(["", *cost], cost_rows(found)),
        f"Error of the estimate, mean over t = {', '.join(f'{t:g}' for t in args.noise_levels)} above; by level here, with the "
        "cross-entropy in nats of heads that give logits (that of masked codes is of those alone, and not to be compared):",
        measure.table(["t", "", *scored], score_rows(found, args.noise_levels)),
        "Continuations by a chunk: Frechet distance to recordings (of `evaluate.py`: in parts of the recordings' variance), minus "
        f"the base with the same sampler, or with that which leads; codes used and what is heard at {steps[-1]} steps. "
        + ("" if "beat" in part_names([*known.values()]) else WITHOUT_LIBROSA),
        measure.table(
            ["", "sampler", *counted, *heard_names(names), *seconds], made_rows(found, known, steps, len(held_out.windows))
        ),
    ]
