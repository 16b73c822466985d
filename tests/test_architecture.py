"""Test that the package keeps its layout and the direction of its imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "usersync"
#: Modules that may stand at the package's top.
TOP = {
    "__init__", "__main__", "api", "tables", "errors", "context", "values", "logs", "notifications",
    "diagnostics", "masking", "formulas", "wording",
}  # fmt: skip
MOST_LEVELS = 8
#: Where imports inside functions are the rule: commands start fast because each loads only what it needs.
LAZY = {"cli", "__init__"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Return the imports of usersync's own modules, each with its statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "usersync":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node, inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names if alias.name in MODULES)


def part_of(module: str) -> str:
    """Return the folder, or the module at the top, that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def imports_between(name: type | object) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        own = name(module)  # type: ignore[operator]
        found = {name(target) for _, target in imported(ast.parse(path.read_text("utf-8")))}  # type: ignore[operator]
        graph.setdefault(own, set()).update(found - {own})
    return graph


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """Return for each node the length of the longest way down; fails where a way leads back."""

    @cache
    def level(node: str, above: tuple[str, ...] = ()) -> int:
        assert node not in above, f"a circle of imports: {' -> '.join((*above[above.index(node) :], node))}"
        return 1 + max((level(below, (*above, node)) for below in graph[node]), default=0)

    return {node: level(node) for node in graph}


def test_folders_and_top_modules_import_in_one_direction_on_few_levels() -> None:
    found = levels(imports_between(part_of))
    del found["__main__"]  # starts `cli`, and nothing else
    deepest = max(found, key=lambda part: found[part])
    assert found[deepest] <= MOST_LEVELS, sorted(found.items(), key=lambda item: item[1])


def test_no_module_imports_itself_through_others() -> None:
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    graph = imports_between(lambda module: module)
    levels({module: targets - packages for module, targets in graph.items()})


def test_only_agreed_modules_stand_at_the_top() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} <= TOP


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) not in LAZY])
def test_imports_inside_functions_have_a_reason(module: str) -> None:
    source = MODULES[module].read_text("utf-8")
    lines = source.splitlines()
    bare = [
        f"line {node.lineno}: {lines[node.lineno - 1].strip()}"
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom) and "#" not in lines[node.lineno - 1]
    ]
    assert not bare, bare


@pytest.mark.parametrize("module", MODULES)
def test_a_module_begins_with_one_imperative_line(module: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[module].read_text("utf-8")))
    assert text, "no docstring"
    first = text.splitlines()[0]
    assert first[0].isupper() or first[0] == "`"
    assert first.endswith((".", "`"))
    assert len(first) <= 80
    assert not first.endswith((" in.", " out.")), first
