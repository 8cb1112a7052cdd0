"""Loading of a flows file: run it, find its app, and locate errors."""

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
"""The attribute of a flows file's module with the folder that its other modules came from."""


def load_app(target: str) -> App:
    """Return the app of ``FILE`` or ``FILE:APP`` (the name of the variable).

    Raises :class:`FlowError` if the file does not exist, fails, or has no app (or several, and none
    is named).
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
    """Return why there is no flows file at a path, and which path to use."""
    if file.is_dir():
        names = sorted(path.name for path in file.glob("*.py"))
        if not names:
            return "it is a folder without a flows file; use the path of a flows file"
        return f"it is a folder; use a file in it, like {file / names[0]}"
    folder = file.parent
    names = [path.name for path in folder.glob("*.py")] if folder.is_dir() else []
    near = nearest(file.name, names)
    fix = f"did you mean {folder / near}?" if near else "use the path of a flows file"
    return f"no such file; {fix}"


def split_target(target: str) -> tuple[Path, str]:
    """Return the file and the variable's name of ``FILE`` or ``FILE:APP``."""
    if Path(target).exists():
        return Path(target), ""
    file, _, name = target.rpartition(":")
    return (Path(file), name) if file else (Path(target), "")


def source_files(file: Path) -> list[Path]:
    """Return a flows file, the Python files in its folder, and those that were loaded for it.

    Paths through symbolic links are not resolved.
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
        sys.path.remove(str(last))  # the symbolic link has a new target
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    unload_modules(home, last)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise FlowError(f"{file}: not a Python file; the name of a flows file ends in .py")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _HOME_ATTRIBUTE, home)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # sys.exit() in a flows file is a mistake too
        raise FlowError(load_error(error, file)) from error
    return module


def unload_modules(*homes: Path) -> None:
    """Unload the modules that were loaded from folders, so that they are imported again.

    Deletes their bytecode too, which is valid for any source of the same size and second.
    """
    for name, origin in _modules_of(set(homes)):
        del sys.modules[name]
        with contextlib.suppress(OSError, NotImplementedError):
            Path(importlib.util.cache_from_source(origin)).unlink(missing_ok=True)
    importlib.invalidate_caches()


def _modules_of(homes: Set[Path]) -> list[tuple[str, str]]:
    """Return the names and files of the modules that were loaded from below ``homes``."""
    modules = []
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if origin and name != "__main__" and any(is_own(Path(origin), home) for home in homes):
            modules.append((name, str(origin)))
    return modules


def _app_of(module: ModuleType, file: Path, name: str) -> App:
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if name:
        if name not in apps:
            raise FlowError(f"{file}: no App named {name!r}; {suggestion(name, apps)}")
        return apps[name]
    if len({id(app) for app in apps.values()}) != 1:
        if not apps:
            raise FlowError(f'{file}: no App; add app = App("name")')
        fix = f"select one, like {file}:{next(iter(apps))}"
        raise FlowError(f"{file}: several Apps ({', '.join(apps)}); {fix}")
    return next(iter(apps.values()))
