"""The parser of each command's flags. What it refuses is one line with the near miss, not a page of usage before it."""

import argparse
import difflib
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from snac_plugin.errors import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """argparse's, with short errors. Descriptions keep their lines."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self._words: list[str] = []

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        self._words = list(sys.argv[1:] if args is None else args)  # parse_args calls it too
        return super().parse_known_args(self._words, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and which flag was meant, and end with status 2."""
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        words = [word.partition("=")[0] for word in self._words if word.startswith("--")]
        unknown = [word for word in words if not any(flag.startswith(word) for flag in flags)]
        hints = [hint for word in unknown for hint in (self._as_condition(word, flags), did_you_mean(word, flags))]
        sentences = [f"error: {message}.", *dict.fromkeys(filter(None, hints)), f"{self.prog} --help explains all flags."]
        self.exit(2, f"{' '.join(sentences)}\n")

    def _as_condition(self, word: str, flags: list[str]) -> str:
        """How to say `--style house` where one flag is for all conditions; "" for what looks much like another flag."""
        if "--condition" not in flags or difflib.get_close_matches(word, flags, n=1, cutoff=0.8):
            return ""
        said = next(text for text in self._words if text.partition("=")[0] == word)
        after = next(iter(self._words[self._words.index(said) + 1 :]), "")
        value = said.partition("=")[2] or (after if after and not after.startswith("--") else "VALUE")
        return f'A condition of the model is said so: --condition "{word[2:]}={value}".'

    @property
    def flag_names(self) -> dict[str, str]:
        """The flag of each value by the value's name in Python, as {"from_second": "--from"}."""
        return {action.dest: action.option_strings[0] for action in self._actions if action.option_strings}
