"""Reading a JSON config from disk."""

import json
from pathlib import Path
from typing import Any

from snac_plugin.config.validation import show
from snac_plugin.errors import ConfigError, did_you_mean


def load_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        ConfigError: no such file, not UTF-8, not JSON (with line and column), a key twice in one object, or no object.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        folder = path.parent
        advice = did_you_mean(path.name, [other.name for other in folder.glob("*.json")])
        advice = advice if folder.is_dir() else f"The folder {folder} does not exist either."
        raise ConfigError(str(path), "no such file", "a JSON file", advice) from None
    except IsADirectoryError:
        raise ConfigError(str(path), "a folder", "a JSON file") from None
    except PermissionError:
        raise ConfigError(str(path), "a file that may not be read", "a readable JSON file") from None
    except OSError as error:
        raise ConfigError(str(path), f"a file that cannot be read ({error.strerror})", "a JSON file") from None
    except UnicodeDecodeError as error:
        beside = path.with_suffix(".json")
        advice = f"Do you mean {beside}, which is beside it?" if beside != path and beside.is_file() else ""
        raise ConfigError(str(path), f"byte {error.start} that is not UTF-8", "a JSON file in UTF-8", advice) from None
    try:
        config = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        lines = [*text.splitlines(), "the end of the file"]
        found = show(lines[min(error.lineno, len(lines)) - 1].strip())
        raise ConfigError(where, found, "valid JSON", f"{error.msg}.") from None
    if not isinstance(config, dict):
        raise ConfigError(str(path), show(config), "one JSON object { ... } at the top")
    return config


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """A JSON object, unless a key is in it twice: Python would silently keep the last."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ConfigError(str(path), f"the key {show(key)} twice in one object", "each key once")
        result[key] = value
    return result
