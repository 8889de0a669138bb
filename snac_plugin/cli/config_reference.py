"""Print the tables of all keys of a model config, their defaults and what they are: of a model, and of a codec.

python -m snac_plugin config_reference [--schema]
"""

from collections.abc import Sequence
from pathlib import Path

from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.config import CodecModelConfig
from snac_plugin.config.reference import SCHEMAS, editor_schema, reference_table
from snac_plugin.errors import UsageError


def parser() -> CommandParser:
    made = CommandParser("config_reference", description=__doc__)
    made.add_argument("--schema", action="store_true", help=f"write {', '.join(SCHEMAS)} instead")
    made.add_argument("--folder", type=Path, help="where to; the current folder by default")
    return made


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    if args.folder is not None and not args.schema:
        raise UsageError("--folder", args.folder, "--schema beside it", "The tables are printed.")
    if not args.schema:
        print(f"{reference_table()}\n\n{reference_table(CodecModelConfig)}")
        return 0
    for name, kind in SCHEMAS.items():
        path = (args.folder or Path()) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(editor_schema(kind))
        print(f"schema: {path}")
    return 0
