"""Load a flows file: run it, find its app, and say where it went wrong when it does."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from busway.errors import FlowError
from busway.flow.spec import App


def load_app(target: str) -> App:
    """Return the app of ``FILE`` or ``FILE:APP`` (the name of the variable).

    Raises :class:`FlowError` when there is no such file, it does not run, or it has no app (or
    several, and none was named).
    """
    file, name = split_target(target)
    if not file.is_file():
        raise FlowError(f"{file}: there is no such file; give the path of a flows file")
    return _app_of(_run(file.resolve()), file, name)


def split_target(target: str) -> tuple[Path, str]:
    """Return the file and the name of the variable of ``FILE`` or ``FILE:APP``."""
    if Path(target).exists():
        return Path(target), ""
    file, _, name = target.rpartition(":")
    return (Path(file), name) if file else (Path(target), "")


def _run(file: Path) -> ModuleType:
    home = str(file.parent)
    if home not in sys.path:
        sys.path.insert(0, home)
    forget(file.parent)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise FlowError(f"{file}: not a Python file; a flows file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise FlowError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a file that ends the process runs none
        raise FlowError(_where(error, file)) from error
    return module


def forget(home: Path) -> None:
    """Forget the modules that were loaded from a folder, so that they are read again."""
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if origin and name != "__main__" and _belongs(Path(origin), home):
            del sys.modules[name]


def _belongs(origin: Path, home: Path) -> bool:
    installed = {"site-packages", "dist-packages", ".venv", "busway"} & set(origin.parts)
    return not installed and origin.resolve().is_relative_to(home)


def _where(error: Exception | SystemExit, file: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(file.parent)]
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else str(file)
    return f"{place}: {type(error).__name__}: {error}; it must run without errors when loaded"


def _app_of(module: ModuleType, file: Path, name: str) -> App:
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if name:
        if name not in apps:
            known = ", ".join(apps) or "none"
            raise FlowError(f"{file}: it has no App called {name!r}; it has: {known}")
        return apps[name]
    if len({id(app) for app in apps.values()}) != 1:
        count = "no App" if not apps else f"several Apps ({', '.join(apps)})"
        fix = 'add app = App("name")' if not apps else f"name one: {file}:{next(iter(apps))}"
        raise FlowError(f"{file}: it has {count}; {fix}")
    return next(iter(apps.values()))
