"""The order of the source tree: imports never climb, files stay short, only the command line prints."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "snac_plugin"

# Lowest first: folders, and files at the package's top. A file imports its own folder or lower floors; of what stands beside it
# on its floor, a file at the top may import files at the top, a folder nothing.
FLOORS = (
    ("errors", "files", "device", "tested_set", "wording"),
    ("levels", "latents", "spectra"),
    ("diffusion",),
    ("config",),
    ("checkpoints",),
    ("codec", "model"),
    ("data", "generation"),
    ("output",),
    ("training", "codec_training"),
    ("evaluation", "interface"),
    ("plugin",),
    ("autoload",),
    ("cli",),
    ("__main__",),
)
MODULES_AT_THE_TOP = 10
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
LINES = 300
FUNCTION_LINES = 50
PACKAGE_LINES = 26_100

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and part of the package of each import, at any depth: an import inside a function climbs as well.

    Args:
        tree: a file.
        package: names of the package it lies in, which relative imports start from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            source = start + tuple((node.module or "").split(".") if node.module else ())
            modules = [(*source, alias.name) for alias in node.names]
        else:
            continue
        yield from ((node.lineno, names[1]) for names in modules if names[0] == "snac_plugin" and len(names) > 1)


def climbs(part: str, tree: ast.AST, package: tuple[str, ...] = ("snac_plugin",)) -> list[str]:
    """Imports of a file that its floor does not allow; names of the package itself, its version say, stand on none."""
    beside = {other for other in FLOORS[FLOOR_OF[part]] if not (PACKAGE / other).is_dir() and not (PACKAGE / part).is_dir()}
    return [
        f"line {line} imports {other}"
        for line, other in imported_parts(tree, package)
        if other != part and other not in beside and FLOOR_OF.get(other, -1) >= FLOOR_OF[part]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_never_climb(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return  # it offers the package's verbs, each imported on first use
    assert part in FLOOR_OF, f"{part} stands on no floor"
    package = path.relative_to(ROOT).parent.parts
    assert climbs(part, ast.parse(path.read_text()), package) == []


def test_a_climb_would_be_seen() -> None:
    climbing = ast.parse("def late():\n    from snac_plugin.training.wrapper import Wrapper\n    from snac_plugin import plugin")
    assert climbs("model", climbing) == ["line 2 imports training", "line 3 imports plugin"]
    assert climbs("codec", ast.parse("import snac_plugin.model.network")) == ["line 1 imports model"]
    relative = ast.parse("from ...training import wrapper\nfrom .neighbour import name")
    assert climbs("data", relative, ("snac_plugin", "data", "demo_music")) == ["line 1 imports training"]
    assert climbs("model", ast.parse("from snac_plugin.model import network\nfrom snac_plugin.levels import Levels")) == []


def test_every_part_of_the_package_stands_on_a_floor() -> None:
    assert {part_of(path) for path in FILES} - {"__init__"} <= FLOOR_OF.keys()


def test_few_modules_lie_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MODULES_AT_THE_TOP


def test_no_file_is_too_long() -> None:
    folders = [PACKAGE, ROOT / "tests", ROOT / "benchmarks"]
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules_imported_at_once(tree: ast.Module, modules: set[str]) -> set[str]:
    """The modules of the package that a file imports while it is imported itself, not later in a function."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {full if (full := f"{node.module}.{alias.name}") in modules else node.module for alias in node.names}
    return names & modules


def first_circle(imports: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_circle() -> None:
    modules = {module_name(path) for path in FILES}
    assert first_circle({module_name(p): modules_imported_at_once(ast.parse(p.read_text()), modules) for p in FILES}) == []


def test_a_circle_would_be_seen() -> None:
    modules = {"snac_plugin.a", "snac_plugin.b", "snac_plugin"}
    to_b, to_a = (ast.parse(text) for text in ("from snac_plugin import b", "from snac_plugin.a import name"))
    imports = {"snac_plugin.a": modules_imported_at_once(to_b, modules), "snac_plugin.b": modules_imported_at_once(to_a, modules)}
    assert set(first_circle(imports)) == {"snac_plugin.a", "snac_plugin.b"}
    late = ast.parse("def late():\n    from snac_plugin.a import name")
    assert modules_imported_at_once(late, modules) == set()


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    length = (function.end_lineno or 0) - function.lineno + 1
    return length - ((first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) is not None else 0)


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": lines_without_docstring(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_the_package_stays_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= PACKAGE_LINES


def test_only_the_command_line_prints() -> None:
    printing = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        if part_of(path) != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()
