"""Which levels a level may see: the table of the segment attention, as data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from snac_plugin.config.section import BY_LEVEL, ONCE, Names, Section
from snac_plugin.errors import ConfigError

PATH = "model.diffusion.config.visibility"


def _shape(value: Any) -> str:
    return BY_LEVEL if isinstance(value, dict) else ONCE


LevelTable = Annotated[dict[str, Names], Tag(BY_LEVEL)]
Within = Annotated[LevelTable | Annotated[Literal["coarser", "none"], Tag(ONCE)], Discriminator(_shape)]
Context = Annotated[LevelTable | Annotated[Literal["all", "same", "none"], Tag(ONCE)], Discriminator(_shape)]


class VisibilityConfig(Section):
    """What the tokens of each level see besides themselves.

    A level that a table leaves out keeps the default ("coarser", "all"), so `{"within": {"D": ["C"]}}` changes
    level D alone. Noised tokens of a level see the clean tokens named here; its clean tokens see the same, and themselves.
    """

    within: Within = Field(default="coarser", description="finished levels of the same chunk that each level sees")
    context: Context = Field(default="all", description="levels of earlier chunks that each level sees")

    def resolved(self, names: str) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """The table as level indices: for each level (levels of its own chunk, levels of earlier chunks), coarsest first.

        Args:
            names: the codec's level names, "ABCD".

        Raises:
            ConfigError: a name that is no level of the codec, or `within` names a level that is not coarser: levels are
                generated from coarse to fine, so a finer one does not exist yet.
        """
        for part, table in (("within", self.within), ("context", self.context)):
            if isinstance(table, dict):
                _check_names(table, names, f"{PATH}.{part}")
        return tuple((self._within(level, names), self._context(level, names)) for level in range(len(names)))

    def _within(self, level: int, names: str) -> tuple[int, ...]:
        coarser = tuple(range(level))
        if isinstance(self.within, str):
            return coarser if self.within == "coarser" else ()
        named = self.within.get(names[level])
        if named is None:
            return coarser
        seen = _indices(named, names)
        for index in seen:
            if index >= level:
                raise ConfigError(
                    f"{PATH}.within.{names[level]}",
                    f"level {names[index]}",
                    f"levels coarser than {names[level]}: {', '.join(names[:level]) or 'none'}",
                    "Levels are generated from coarse to fine, so a level can only see those before it.",
                )
        return seen

    def _context(self, level: int, names: str) -> tuple[int, ...]:
        every = tuple(range(len(names)))
        if isinstance(self.context, str):
            return {"all": every, "same": (level,), "none": ()}[self.context]
        named = self.context.get(names[level])
        return every if named is None else _indices(named, names)


def _indices(named: Iterable[str], names: str) -> tuple[int, ...]:
    return tuple(sorted({names.index(name) for name in named}))


def _check_names(table: dict[str, tuple[str, ...]], names: str, where: str) -> None:
    for level, seen in table.items():
        for path, name in [(f"{where}.{level}", level), *((f"{where}.{level}[{i}]", name) for i, name in enumerate(seen))]:
            if name not in tuple(names):
                raise ConfigError(path, f"level {name!r}", f"level names of the codec: {', '.join(names)}")
