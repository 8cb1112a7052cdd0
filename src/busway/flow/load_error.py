"""The message about a flows file that fails to load: where in the user's files, and why."""

from __future__ import annotations

import builtins
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from busway.errors import BuswayError
from busway.missing_package import EXTRAS, missing_module
from busway.redact import redacted
from busway.spelling import nearest

_INSTALL_DIRECTORIES = {"site-packages", "dist-packages", ".venv"}
_MAX_FRAMES = 20
_NAME_FROM = re.compile(r"cannot import name '([^']+)' from '([^']+)'")


def is_own(file: Path, home: Path) -> bool:
    """Return whether a file belongs to the folder, and not to a package installed in it."""
    if file.is_relative_to(_PACKAGE):
        return False
    for path in (file, file.resolve()):  # a symbolic link may lead out of the folder
        if path.is_relative_to(home):
            return not _INSTALL_DIRECTORIES & set(path.relative_to(home).parts)
    return False


_PACKAGE = Path(__file__).parents[1]


def load_error(error: BaseException, file: Path) -> str:
    """Return where a file failed and why; further indented lines show the code."""
    if isinstance(error, SyntaxError):
        return _syntax_error(error, file)
    own_frames = [
        frame
        for frame in _frames(error)
        if not frame.filename.startswith("<") and is_own(Path(frame.filename), file.parent)
    ]
    place = f"{own_frames[-1].filename}:{own_frames[-1].lineno}" if own_frames else str(file)
    lines = [f"{place}: {_reason(error, file.parent)}"]
    return "\n".join([*lines, *_frame_lines(own_frames, file.parent)])


def _frame_lines(frames: list[traceback.FrameSummary], home: Path) -> Iterator[str]:
    """Yield a line per frame: repeated lines once, and only the last of very many."""
    lines = [
        f"    {os.path.relpath(frame.filename, home)}:{frame.lineno}: {frame.line}"
        for frame in frames
    ]
    pairs = zip(lines, [None, *lines], strict=False)
    distinct = [line for line, previous in pairs if line != previous]
    if len(distinct) > _MAX_FRAMES:
        yield f"    … {len(distinct) - _MAX_FRAMES} earlier lines omitted"
    yield from distinct[-_MAX_FRAMES:]
    if len(distinct) < len(lines):
        yield f"    … {len(lines) - len(distinct)} repeated lines omitted"


def _frames(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)


def _syntax_error(error: SyntaxError, file: Path) -> str:
    """Return the location, the line, and carets under the error."""
    place = f"{error.filename or file}:{error.lineno or 1}"
    lines = [f"{place}: {type(error).__name__}: {error.msg}"]
    text = error.text or linecache.getline(str(error.filename or file), error.lineno or 1)
    code = text.rstrip("\n").expandtabs(1)
    if code.strip():
        indent = len(code) - len(code.lstrip())
        start = max((error.offset or 1) - 1 - indent, 0)
        same_line = error.end_lineno in (None, error.lineno)
        end = (error.end_offset or 0) - 1 - indent if same_line else len(code) - indent
        carets = "^" * max(min(end, len(code) - indent) - start, 1)
        lines += [f"    {code.strip()}", f"    {' ' * start}{carets}"]
    return "\n".join(lines)


def _reason(error: BaseException, home: Path) -> str:
    if isinstance(error, BuswayError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it exits the process (SystemExit: {error}); a flows file must only declare"
    if isinstance(error, ModuleNotFoundError) and error.name:
        near = (
            None
            if error.name in EXTRAS
            else _nearest_other(error.name, _importable_modules(error.name, home))
        )
        return missing_module(error.name) if near is None else _with_suggestion(error, near)
    return (
        _unset_variable(error)
        or _misspelt_name(error)
        or f"{_exception_line(error)}; {_advice(error)}"
    )


def _unset_variable(error: BaseException) -> str:
    """Return a message about the variable that ``os.environ[…]`` did not find, or empty."""
    frames, places = _frames(error), (os.__file__, "<frozen os>")
    if not isinstance(error, KeyError) or not frames or frames[-1].filename not in places:
        return ""
    return (
        f"the environment variable {error.args[0]} is not set; set it, or add it to .env; in a"
        f' sink, use env("{error.args[0]}"), so that all missing variables are reported at once'
    )


def _misspelt_name(error: BaseException) -> str:
    """Return a message that suggests the nearest name, or empty if none is near."""
    unknown = _unknown_name(error)
    if unknown is None:
        return ""
    name, *known = unknown
    near = next(filter(None, (_nearest_other(name, names) for names in known)), None)
    return "" if near is None else _with_suggestion(error, near)


def _advice(error: BaseException) -> str:
    if isinstance(error, ImportError) and error.name == "busway":
        return "import sinks from busway.sinks, conditions of alerts from busway.alerts"
    return "correct it: a flows file must load without errors"


def _exception_line(error: BaseException) -> str:
    return redacted("".join(traceback.format_exception_only(error)).strip().replace("\n", " "))


def _with_suggestion(error: BaseException, near: str) -> str:
    plain = re.sub(r"\. Did you mean:.*", "", str(error))
    return f"{type(error).__name__}: {plain}; did you mean {near!r}?"


def _nearest_other(name: str, known: Iterable[str]) -> str | None:
    return nearest(name, [other for other in known if other != name])


def _importable_modules(name: str, home: Path) -> Iterator[str]:
    """Yield the modules that an import could mean: of the folder, Busway and Python."""
    package, dot, _ = name.rpartition(".")
    if package:
        package_paths = getattr(sys.modules.get(package), "__path__", ())
        folders = [Path(path) for path in package_paths]
    else:
        yield from (name for name in sys.stdlib_module_names if not name.startswith("_"))
        yield "busway"
        folders = [home]
    for folder in folders:
        for path in folder.iterdir():
            if path.suffix == ".py" or path.joinpath("__init__.py").exists():
                yield package + dot + path.stem


def _unknown_name(error: BaseException) -> tuple[str, *tuple[Iterable[str], ...]] | None:
    """Return a name that was not found, and the names in each scope that was searched."""
    if isinstance(error, ImportError):
        match = _NAME_FROM.match(str(error))
        module = sys.modules.get(match[2]) if match else None
        return (match[1], _public_names(module)) if match and module is not None else None
    if isinstance(error, AttributeError) and error.name is not None:
        return error.name, _public_names(error.obj)
    if isinstance(error, NameError) and error.name and error.__traceback__ is not None:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        frame = trace.tb_frame
        return error.name, [*frame.f_locals, *frame.f_globals], dir(builtins)
    return None


def _public_names(owner: object) -> list[str]:
    return [name for name in getattr(owner, "__all__", dir(owner)) if not name.startswith("_")]
