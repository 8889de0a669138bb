"""Print the table of all keys of a model config, their defaults and what they are.

python -m snac_plugin config_reference
"""

from __future__ import annotations

from collections.abc import Sequence

from snac_plugin.config.reference import reference_table


def main(argv: Sequence[str]) -> int:
    """Print a Markdown table, the one in the README."""
    print(reference_table())
    return 0
