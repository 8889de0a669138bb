"""The result of an evaluation: tables, written as Markdown and JSON, and a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from snac_plugin.evaluation.confidence_intervals import Estimate, mean_of
from snac_plugin.files import make_folder, write_whole

Cell = str | int | float | Estimate


@dataclass(frozen=True)
class Table:
    name: str  # key in the JSON file
    title: str  # a line above it: what the figures are, in which unit, which direction is better
    columns: Sequence[str]  # headings; the first ones name the rows
    rows: Sequence[Sequence[Cell]]
    digits: int = 2  # decimal places of figures

    @classmethod
    def of(
        cls, name: str, title: str, columns: Sequence[str], rows: Mapping[Any, Sequence[Any]], seed: int = 0, digits: int = 2
    ) -> "Table":
        """A table of rows by name, or by several names; arrays are values by song [S], shown as their mean and its interval."""
        made = []
        for names, values in rows.items():
            cells = [mean_of(cell, seed) if isinstance(cell, np.ndarray) else cell for cell in values]
            made.append([*(names if isinstance(names, tuple) else (names,)), *cells])
        return cls(name, title, columns, made, digits)

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *([self._cell(cell) for cell in row] for row in self.rows)]
        return f"{self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def as_dict(self) -> dict[str, Any]:
        return {"title": self.title, "rows": [dict(zip(self.columns, map(json_value, row), strict=True)) for row in self.rows]}

    def estimates(self, column: str) -> dict[str, Estimate]:
        """The finite estimates of a column, by the names of their rows; several names of a row become lines of one."""
        found = {}
        for row in self.rows:
            cell = row[self.columns.index(column)]
            if isinstance(cell, Estimate) and np.isfinite(cell.value):
                found["\n".join(str(name) for name in takewhile(lambda name: isinstance(name, str), row))] = cell
        return found

    def _cell(self, cell: Cell) -> str:
        if isinstance(cell, Estimate):
            return cell.text(self.digits) if np.isfinite(cell.value) else "none found"
        return f"{cell:,.{self.digits}f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell


def json_value(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.as_dict() if isinstance(value, Estimate) else value


@dataclass(frozen=True)
class Report:
    title: str  # what was evaluated
    about: str  # what it was measured on, and how
    tables: Sequence[Table]
    notes: Sequence[str] = ()  # what is missing, and why
    settings: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        parts = (f"## {self.title}", self.about, *(t.markdown() for t in self.tables), "\n".join(f"* {n}" for n in self.notes))
        return "\n\n".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "tables": {table.name: table.as_dict() for table in self.tables}}

    def estimates(self, table: str, column: str) -> dict[str, Estimate]:
        """Of a table and column, as `Table.estimates`; nothing where there is no such table."""
        return next((found.estimates(column) for found in self.tables if found.name == table), {})


def write_report(report: Report, picture: Figure, folder: str | Path) -> tuple[Path, Path, Path]:
    """Write results.json, results.md and results.png into a folder, each whole or not at all; returns their paths."""
    folder = make_folder("folder", folder)
    data = json.dumps(report.as_dict(), indent=1, ensure_ascii=False, default=str)
    return (
        write_whole(folder / "results.json", f"{data}\n"),
        write_whole(folder / "results.md", f"{report.markdown()}\n"),
        write_whole(folder / "results.png", lambda part: picture.savefig(part, format="png", metadata={"Software": None})),
    )
