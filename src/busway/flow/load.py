"""Load a flows file: run it, find its app, and say where it went wrong when it does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from busway.errors import FlowError
from busway.flow.load_error import is_own, load_error
from busway.flow.spec import App
from busway.parameter import noting


def load_app(target: str) -> App:
    """Return the app of ``FILE`` or ``FILE:APP`` (the name of the variable).

    Raises :class:`FlowError` when there is no such file, it does not run, or it has no app (or
    several, and none was named).
    """
    file, name = split_target(target)
    if not file.is_file():
        raise FlowError(f"{file}: there is no such file; give the path of a flows file")
    with noting() as mistakes:
        try:
            app = _app_of(_run(file.resolve()), file, name)
        except FlowError as error:
            raise FlowError("\n".join([*mistakes, str(error)])) from error
    app.mistakes = mistakes
    return app


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
    except (Exception, SystemExit) as error:  # a file that ends the process runs none
        raise FlowError(load_error(error, file)) from error
    return module


def forget(home: Path) -> None:
    """Forget the modules that were loaded from a folder, so that they are read again."""
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if origin and name != "__main__" and is_own(Path(origin), home):
            del sys.modules[name]


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
