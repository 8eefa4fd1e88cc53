"""The floors of the package: each module imports only from those before it, and says so in its imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "s2s"
FLOORS = [
    {"errors"},
    {"files", "device", "process", "workers"},
    {"cache"},
    {"recipe/"},
    {"corpus/", "run"},
    {"text/", "nn/", "plots", "figures/"},
    {"formats/"},
    {"training/"},
    {"translation/", "language/", "forecast/"},
    {"tasks"},
    {"report/"},
    {"jobs/"},
    {"benchmark/", "documents/", "export/"},
    {"serve/"},
    {"cli/"},
    {"__main__"},
]
"""A name that ends in a slash is a folder, whose modules may import each other; modules of one floor may not otherwise.
"""
PUBLIC_FACE = "__init__"
"""Names what is public from every floor, and loads it when it is used."""
VERSION = "from s2s import __version__"
"""The one thing that the public face defines itself, so that every floor may import it."""
FORBIDDEN_NAMES = {"utils", "helpers", "common", "constants", "base", "builders", "registry"}
MAY_PRINT = {
    f"cli/{name}"
    for name in (
        "commands",
        "documents",
        "generate",
        "outside",
        "serve",
        "shipped",
        "teaching",
        "terminal",
        "translate",
    )
}
MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def place_of(module: str) -> tuple[int, str]:
    """The number of a module's floor, and its name there."""
    folder = module.split("/")[0] + "/" if "/" in module else module
    for name in (module, folder):
        for number, floor in enumerate(FLOORS):
            if name in floor:
                return number, name
    pytest.fail(f"s2s/{module}.py stands on no floor; give it one in FLOORS and in the design")


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all modules that are imported, anywhere in the code, but for the version's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and ast.unparse(node) != VERSION:
            yield "." * node.level + (node.module or "")


def imported_at_once(module: str) -> Iterator[str]:
    """Dotted names of what a module imports when it is imported itself."""
    pending: list[ast.stmt] = list(tree_of(module).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def module_of(dotted: str) -> str:
    return dotted.removeprefix("s2s.").replace(".", "/")


def test_a_module_imports_from_the_floors_below() -> None:
    for module in MODULES.keys() - {PUBLIC_FACE}:
        own = place_of(module)
        for dotted in imported(tree_of(module)):
            if dotted.split(".")[0] == "s2s":
                other = module_of(dotted)
                assert other in MODULES, f"s2s/{module}.py imports {dotted}, which is no module but a package"
                floor, name = place_of(other)
                assert floor < own[0] or (name == own[1] and name.endswith("/")), f"s2s/{module}.py imports {dotted}"


def test_imports_name_the_defining_module_in_full() -> None:
    for module in MODULES:
        names = list(imported(tree_of(module)))
        assert not [name for name in names if name.startswith(".") or name == "s2s"], module


def test_importing_the_package_imports_none_of_its_modules() -> None:
    assert not [name for name in imported_at_once(PUBLIC_FACE) if name.startswith("s2s")]


def test_no_module_is_a_drawer() -> None:
    parts = {part for module in MODULES for part in module.split("/")}
    assert not parts & FORBIDDEN_NAMES


def test_no_package_but_the_first_has_anything_in_its_init() -> None:
    inner = [module for module in MODULES if module.endswith("/__init__")]
    assert not [module for module in inner if list(imported(tree_of(module)))]


def test_only_the_command_line_prints() -> None:
    for module in MODULES.keys() - MAY_PRINT:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.stdout.write", "sys.stderr.write"), f"{module}: {called}"
        assert "click" not in {name.split(".")[0] for name in imported(tree_of(module))}, module


@pytest.mark.parametrize(
    "start",
    [
        "__init__",
        "cli/commands",
        "cli/filter",
        "documents/translate",
        "tasks",
        "corpus/find",
        "jobs/table",
        "translation/pairs",
        "translation/translator",
        "translation/bleu",
        "translation/scores",
        "language/scores",
        "forecast/scores",
    ],
)
def test_what_answers_at_once_does_not_import_torch(start: str) -> None:
    pending, seen = [start], {start}
    while pending:
        module = pending.pop()
        for dotted in imported_at_once(module):
            assert dotted.split(".")[0] not in ("torch", "matplotlib", "safetensors"), (
                f"s2s/{module}.py imports {dotted}"
            )
            other = module_of(dotted)
            if dotted.startswith("s2s.") and other not in seen:
                seen.add(other)
                pending.append(other)
