"""What fits in the head: the sizes of modules and functions, and how they are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "busway"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "template" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MODULE_LINES = 400
FUNCTION_LINES = 40
PARAMETERS = 6
LAZY_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
MAY_PRINT = {"sink/console.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions() -> Iterator[tuple[str, Function]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Function):
                yield f"{relative(path)}:{node.lineno} {node.name}", node


def code_lines(node: Function) -> int:
    """Count the lines from ``def`` to the end, without the docstring."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def parameters(node: Function) -> int:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(one.arg not in ("self", "cls") for one in given)


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 100


def test_a_module_fits_in_the_head() -> None:
    sizes = {relative(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_a_function_is_short() -> None:
    long = {name: code_lines(node) for name, node in functions()}
    assert {name: size for name, size in long.items() if size > FUNCTION_LINES} == {}


def test_a_function_has_few_parameters() -> None:
    many = {name: parameters(node) for name, node in functions()}
    assert {name: count for name, count in many.items() if count > PARAMETERS} == {}


def test_names_say_what_is_inside() -> None:
    names = {part.removesuffix(".py") for path in MODULES + TESTS for part in path.parts}
    assert names & LAZY_NAMES == set()


def test_every_module_says_what_it_promises() -> None:
    silent = [
        relative(path)
        for path in MODULES
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_only_settings_reads_the_environment() -> None:
    readers = {
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    }
    assert readers == {"settings.py"}


def test_only_the_command_line_and_the_console_sink_print() -> None:
    writers = {
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if ast.unparse(node) in ("print", "sys.stdout")
    }
    assert {name for name in writers if not name.startswith("cli/")} <= MAY_PRINT


def test_sql_is_in_files_of_its_own() -> None:
    statements = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.lstrip().startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE "))
    ]
    assert statements == []


def test_a_file_of_sql_holds_one_statement() -> None:
    several = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.sql")
        if ";" in without_comments(path.read_text("utf-8")).rstrip(";")
    }
    assert several == set()


def without_comments(statement: str) -> str:
    lines = (line.partition("--")[0] for line in statement.splitlines())
    return "\n".join(lines).rstrip()
