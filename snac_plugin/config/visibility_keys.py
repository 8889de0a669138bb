"""Which levels a level may see: the table of the segment attention, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from snac_plugin.config.section import BY_LEVEL, ONCE, ListOf, Section, once_or_by_level
from snac_plugin.errors import ConfigError

PATH = "model.diffusion.config.visibility"


LevelTable = Annotated[dict[str, ListOf[str]], Tag(BY_LEVEL)]
Within = Annotated[LevelTable | Annotated[Literal["coarser", "none"], Tag(ONCE)], Discriminator(once_or_by_level)]
Context = Annotated[LevelTable | Annotated[Literal["all", "same", "none"], Tag(ONCE)], Discriminator(once_or_by_level)]


class VisibilityConfig(Section):
    """What the tokens of each level see besides themselves; levels that a table leaves out keep the default ("coarser", "all").

    Noised tokens of a level see the clean tokens named here; its clean tokens see the same, and themselves.
    """

    within: Within = Field(default="coarser", description="finished levels of the same chunk that each level sees")
    context: Context = Field(default="all", description="levels of earlier chunks that each level sees")

    def resolved(self, names: str) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """For each level, coarsest first: indices of (levels of its own chunk, levels of earlier chunks) that it sees.

        ConfigError: a name that is no level of the codec, or `within` names one that is not coarser and so does not exist yet.
        """
        self._check(names)
        return tuple(
            (_seen(self.within, names, level, "coarser"), _seen(self.context, names, level, "all")) for level in range(len(names))
        )

    def _check(self, names: str) -> None:
        for part, table in (("within", self.within), ("context", self.context)):
            for level, seen in table.items() if isinstance(table, dict) else ():
                where = f"{PATH}.{part}.{level}"
                for path, name in [(where, level), *((f"{where}[{i}]", name) for i, name in enumerate(seen))]:
                    if name not in tuple(names):
                        raise ConfigError(path, f"level {name!r}", f"level names of the codec: {', '.join(names)}")
                coarser = names[: names.index(level)]
                for name in seen:
                    if part == "within" and name not in coarser:
                        expected = f"levels coarser than {level}: {', '.join(coarser) or 'none'}"
                        advice = "Levels are generated from coarse to fine, so a level can only see those before it."
                        raise ConfigError(where, f"level {name}", expected, advice)


def _seen(table: str | dict[str, tuple[str, ...]], names: str, level: int, default: str) -> tuple[int, ...]:
    seen = table if isinstance(table, str) else table.get(names[level], default)
    if isinstance(seen, str):
        return {"all": tuple(range(len(names))), "coarser": tuple(range(level)), "same": (level,), "none": ()}[seen]
    return tuple(sorted({names.index(name) for name in seen}))
