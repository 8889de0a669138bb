"""The one family of errors that this package raises for things a user can mend."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any


class SnacPluginError(Exception):
    """Base of every error this package raises on purpose."""


class Mismatch(SnacPluginError, ValueError):
    """Something a user wrote or gave does not fit.

    `where` is the JSON path, the file or the argument at fault; `advice` says in one sentence what to do about it. Texts put
    other arguments in backticks, so that the command line can name their flags: see `message`.
    """

    def __init__(self, where: str, found: Any, expected: str, advice: str = "") -> None:
        self.where, self.found, self.expected, self.advice = where, found, expected, advice
        super().__init__(self.message())

    def message(self, names: Mapping[str, str] | None = None) -> str:
        """The whole text, with arguments by other names, as {"from_second": "--from"}; backticks go."""
        names = names or {}
        argument, colon, rest = self.where.partition(":")
        text = f"{names.get(argument, argument)}{colon}{rest}: found {self.found}, expected {self.expected}."
        text = re.sub(r"`([a-z_]+)`", lambda name: names.get(name[1], name[1]), f"{text} {self.advice}".rstrip())
        return text.encode("utf-8", "backslashreplace").decode()  # a path may hold what no text file takes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.found, self.expected, self.advice)  # or data loader workers could not send it


class ConfigError(Mismatch):
    """A JSON config does not fit; `where` is its JSON path."""


class UsageError(Mismatch):
    """A flag of a command or an argument of a call does not fit; `where` is its name, as "--steps" or "steps"."""


class CodecError(Mismatch):
    """A SNAC codec cannot be found, loaded or used."""


class AudioError(Mismatch):
    """Audio cannot be read, or does not have the form that is needed."""


class LostData(AudioError):
    """The data of a training went away while it ran, or none of it can be used."""


class CheckpointError(Mismatch):
    """A checkpoint cannot be read, or was made with other parts."""


class UnwritableFile(Mismatch):
    """A file cannot be written: its disk is full, read-only or gone."""


class InstallationError(Mismatch):
    """The installed packages are not the set this package was written for."""


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """`Did you mean "depth"?`, with the known word that looks most like `word`; or nothing."""
    by_fold = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_fold, n=1) if isinstance(word, str) else []
    return f'Did you mean "{by_fold[close[0]]}"?' if close else ""
