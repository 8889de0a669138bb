"""What an evaluation found: tables, written as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from snac_plugin.evaluation.bootstrap import Estimate, plain
from snac_plugin.files import write_whole

Cell = str | int | float | Estimate | None


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        name: its key in the JSON file.
        title: one line above it: what the figures are, in which unit, which direction is better.
        columns: headings; the first column names the rows.
        rows: cells; None where there is nothing to say.
        digits: decimal places of its figures.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    digits: int = 2

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *([self._cell(cell) for cell in row] for row in self.rows)]
        return f"{self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def as_dict(self) -> dict[str, Any]:
        rows = [{name: plain(cell) for name, cell in zip(self.columns, row, strict=True)} for row in self.rows]
        return {"title": self.title, "rows": rows}

    def row(self, name: str) -> tuple[Cell, ...]:
        """The cells of the row of that name."""
        return next(row for row in self.rows if row[0] == name)

    def _cell(self, cell: Cell) -> str:
        if isinstance(cell, Estimate):
            if not np.isfinite(cell.value):
                return "none found"
            shown = self._number(cell.value)
            return f"{shown} ({self._number(cell.low)} to {self._number(cell.high)})" if np.isfinite(cell.low) else shown
        if isinstance(cell, float):
            return self._number(cell)
        return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell

    def _number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Report:
    """A whole evaluation.

    Args:
        title: what was evaluated.
        about: what it was measured on, and how: shown above the tables.
        tables: the figures.
        notes: what is missing, and why.
        settings: everything that was asked for.
    """

    title: str
    about: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        notes = "\n".join(f"* {note}" for note in self.notes)
        return "\n\n".join(part for part in (f"## {self.title}", self.about, *(t.markdown() for t in self.tables), notes) if part)

    def as_dict(self) -> dict[str, Any]:
        tables = {table.name: table.as_dict() for table in self.tables}
        return {
            "title": self.title,
            "about": self.about,
            "settings": dict(self.settings),
            "tables": tables,
            "notes": list(self.notes),
        }

    def table(self, name: str) -> Table | None:
        """The table of that name, if there is one."""
        return next((table for table in self.tables if table.name == name), None)


def write_report(report: Report, picture: Figure, folder: str | Path) -> tuple[Path, Path, Path]:
    """Write results.json, results.md and results.png into a folder, each whole or not at all; returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(report.as_dict(), indent=1, ensure_ascii=False, default=str) + "\n"
    return (
        write_whole(folder / "results.json", lambda part: part.write_text(data, encoding="utf-8")),
        write_whole(folder / "results.md", lambda part: part.write_text(report.markdown() + "\n", encoding="utf-8")),
        write_whole(folder / "results.png", lambda part: picture.savefig(part, format="png", metadata={"Software": None})),
    )


def count(number: int, noun: str) -> str:
    """ "1 song", "3 songs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def estimates(table: Table, column: str) -> tuple[list[str], list[Estimate]]:
    """The rows of a table that have an estimate in a column: names and estimates, for a plot."""
    place = table.columns.index(column)
    kept: Sequence[tuple[str, Estimate]] = [
        (str(row[0]), cell) for row in table.rows if isinstance(cell := row[place], Estimate) and np.isfinite(cell.value)
    ]
    return [name for name, _ in kept], [cell for _, cell in kept]
