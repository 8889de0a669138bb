"""Print the tables of all keys of a model config, their defaults and what they are: of a model, and of a codec.

python -m snac_plugin config_reference
"""

from __future__ import annotations

from collections.abc import Sequence

from snac_plugin.config import CodecModelConfig
from snac_plugin.config.reference_table import reference_table


def main(argv: Sequence[str]) -> int:
    """Print two Markdown tables, those in the README."""
    print(f"{reference_table()}\n\n{reference_table(CodecModelConfig)}")
    return 0
