"""What is said of a flows file that does not load: where in the user's own files, and why."""

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
_MOST_FRAMES = 20
_NAME_FROM = re.compile(r"cannot import name '([^']+)' from '([^']+)'")


def is_own(file: Path, home: Path) -> bool:
    """Say whether a file is one of the folder's own, not of a package that is installed in it."""
    if file.is_relative_to(_PACKAGE):
        return False
    for place in (file, file.resolve()):  # it may be reached by a link, and lead elsewhere
        if place.is_relative_to(home):
            return not _INSTALL_DIRECTORIES & set(place.relative_to(home).parts)
    return False


_PACKAGE = Path(__file__).parents[1]


def load_error(error: BaseException, file: Path) -> str:
    """Return where a file failed and why; further lines, indented, show the code."""
    if isinstance(error, SyntaxError):
        return _syntax_error(error, file)
    own = [
        frame
        for frame in _frames(error)
        if not frame.filename.startswith("<") and is_own(Path(frame.filename), file.parent)
    ]
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else str(file)
    lines = [f"{place}: {_reason(error, file.parent)}"]
    return "\n".join([*lines, *_frame_lines(own, file.parent)])


def _frame_lines(frames: list[traceback.FrameSummary], home: Path) -> Iterator[str]:
    """Yield a line for each frame; what repeats is shown once, of very many the last ones."""
    lines = [
        f"    {os.path.relpath(frame.filename, home)}:{frame.lineno}: {frame.line}"
        for frame in frames
    ]
    once = [line for line, before in zip(lines, [None, *lines], strict=False) if line != before]
    if len(once) > _MOST_FRAMES:
        yield f"    … {len(once) - _MOST_FRAMES} more lines before"
    yield from once[-_MOST_FRAMES:]
    if len(once) < len(lines):
        yield f"    … {len(lines) - len(once)} lines are the same as the one before them"


def _frames(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)


def _syntax_error(error: SyntaxError, file: Path) -> str:
    """Return the place, the line and a caret under what is wrong."""
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
        return f"it ends the process (SystemExit: {error}); a flows file only declares"
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
    """Say which environment variable ``os.environ[…]`` did not find."""
    frames, places = _frames(error), (os.__file__, "<frozen os>")
    if not isinstance(error, KeyError) or not frames or frames[-1].filename not in places:
        return ""
    return (
        f"the environment variable {error.args[0]} is not set; set it, or put it into .env; in a"
        f' sink, write env("{error.args[0]}"): then all that are missing are reported at once'
    )


def _misspelt_name(error: BaseException) -> str:
    """Say which name was meant, where one is near."""
    wrong = _unknown_name(error)
    if wrong is None:
        return ""
    name, *known = wrong
    near = next(filter(None, (_nearest_other(name, one) for one in known)), None)
    return "" if near is None else _with_suggestion(error, near)


def _advice(error: BaseException) -> str:
    if isinstance(error, ImportError) and error.name == "busway":
        return "sinks are in busway.sinks, conditions of alerts in busway.alerts"
    return "a flows file must load without errors"


def _exception_line(error: BaseException) -> str:
    return redacted("".join(traceback.format_exception_only(error)).strip().replace("\n", " "))


def _with_suggestion(error: BaseException, near: str) -> str:
    plain = re.sub(r"\. Did you mean:.*", "", str(error))
    return f"{type(error).__name__}: {plain}; did you mean {near!r}?"


def _nearest_other(name: str, known: Iterable[str]) -> str | None:
    return nearest(name, [one for one in known if one != name])


def _importable_modules(name: str, home: Path) -> Iterator[str]:
    """Yield the modules that an import could have meant: beside the file, and Busway's own."""
    package, dot, _ = name.rpartition(".")
    if package:
        found = getattr(sys.modules.get(package), "__path__", ())
        folders = [Path(one) for one in found]
    else:
        yield from (name for name in sys.stdlib_module_names if not name.startswith("_"))
        yield "busway"
        folders = [home]
    for folder in folders:
        for one in folder.iterdir():
            if one.suffix == ".py" or one.joinpath("__init__.py").exists():
                yield package + dot + one.stem


def _unknown_name(error: BaseException) -> tuple[str, *tuple[Iterable[str], ...]] | None:
    """Return a name that there is not, and those that there are where it was looked up."""
    if isinstance(error, ImportError):
        found = _NAME_FROM.match(str(error))
        module = sys.modules.get(found[2]) if found else None
        return (found[1], _public_names(module)) if found and module is not None else None
    if isinstance(error, AttributeError) and error.name is not None:
        return error.name, _public_names(error.obj)
    if isinstance(error, NameError) and error.name and error.__traceback__ is not None:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        frame = trace.tb_frame
        return error.name, [*frame.f_locals, *frame.f_globals], dir(builtins)
    return None


def _public_names(found: object) -> list[str]:
    return [one for one in getattr(found, "__all__", dir(found)) if not one.startswith("_")]
