"""Load a flows file: run it, find its app, and say where it went wrong when it does."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Set
from pathlib import Path
from types import ModuleType

from busway.declarable import collecting_mistakes
from busway.errors import FlowError
from busway.flow.declaration import App
from busway.flow.load_error import is_own, load_error
from busway.spelling import nearest, suggestion

_HOME_ATTRIBUTE = "__busway_home__"
"""Names in a flows file's module the folder that its other modules came from."""


def load_app(target: str) -> App:
    """Return the app of ``FILE`` or ``FILE:APP`` (the name of the variable).

    Raises :class:`FlowError` when there is no such file, it does not run, or it has no app (or
    several, and none was named).
    """
    file, name = split_target(target)
    if not file.is_file():
        raise FlowError(f"{file}: {_missing_file_hint(file)}")
    with collecting_mistakes() as mistakes:
        try:
            app = _app_of(_execute(file.resolve()), file, name)
        except FlowError as error:
            raise FlowError("\n".join([*mistakes, str(error)])) from error
    app.mistakes = mistakes
    return app


def _missing_file_hint(file: Path) -> str:
    """Return what to do about a flows file that is not there."""
    if file.is_dir():
        inside = sorted(one.name for one in file.glob("*.py"))
        return (
            f"it is a folder; give a file in it, like {file / inside[0]}"
            if inside
            else ("it is a folder without a flows file")
        )
    folder = file.parent
    others = [one.name for one in folder.glob("*.py")] if folder.is_dir() else []
    near = nearest(file.name, others)
    fix = f"did you mean {folder / near}?" if near else "give the path of a flows file"
    return f"there is no such file; {fix}"


def split_target(target: str) -> tuple[Path, str]:
    """Return the file and the name of the variable of ``FILE`` or ``FILE:APP``."""
    if Path(target).exists():
        return Path(target), ""
    file, _, name = target.rpartition(":")
    return (Path(file), name) if file else (Path(target), "")


def source_files(file: Path) -> list[Path]:
    """Return a flows file, the Python files beside it, and those that were loaded for it.

    They are named as they are reached: what is a link, or behind one, stays so.
    """
    main = sys.modules.get(file.stem)
    homes = {
        file.absolute().parent,
        file.resolve().parent,
        getattr(main, _HOME_ATTRIBUTE, file.parent),
    }
    loaded = [Path(origin) for _, origin in _modules_of(homes)]
    return sorted({file.absolute(), *file.absolute().parent.glob("*.py"), *loaded})


def _execute(file: Path) -> ModuleType:
    home = file.parent
    last = getattr(sys.modules.get(file.stem), _HOME_ATTRIBUTE, home)
    if last != home and str(last) in sys.path:
        sys.path.remove(str(last))  # a link led there that leads here now
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    unload_modules(home, last)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise FlowError(f"{file}: not a Python file; a flows file ends in .py")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _HOME_ATTRIBUTE, home)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a file that ends the process runs none
        raise FlowError(load_error(error, file)) from error
    return module


def unload_modules(*homes: Path) -> None:
    """Forget the modules that were loaded from folders, so that they are read again.

    So is their compiled form: it is taken for that of any source of the same size and second.
    """
    for name, origin in _modules_of(set(homes)):
        del sys.modules[name]
        with contextlib.suppress(OSError, NotImplementedError):
            Path(importlib.util.cache_from_source(origin)).unlink(missing_ok=True)
    importlib.invalidate_caches()


def _modules_of(homes: Set[Path]) -> list[tuple[str, str]]:
    """Return the names and files of the modules that were loaded from folders, or below."""
    found = []
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if origin and name != "__main__" and any(is_own(Path(origin), home) for home in homes):
            found.append((name, str(origin)))
    return found


def _app_of(module: ModuleType, file: Path, name: str) -> App:
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if name:
        if name not in apps:
            raise FlowError(f"{file}: it has no App called {name!r}; {suggestion(name, apps)}")
        return apps[name]
    if len({id(app) for app in apps.values()}) != 1:
        count = "no App" if not apps else f"several Apps ({', '.join(apps)})"
        fix = 'add app = App("name")' if not apps else f"name one: {file}:{next(iter(apps))}"
        raise FlowError(f"{file}: it has {count}; {fix}")
    return next(iter(apps.values()))
