"""Which edits ``--reload`` finds by looking: behind links, without a hint of the system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from busway.cli.file_watch import WatchedSources
from busway.flow import load_app

FLOWS = "from busway import App\nfrom edited_lib import NAME\napp = App(NAME)\n"


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Forget what a test has loaded."""
    path, before, quiet = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = False
    yield
    sys.dont_write_bytecode = quiet
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(file: Path, name: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"NAME = {name!r}\n")


def point(link: Path, target: str) -> None:
    """Have a link lead elsewhere, in one step."""
    new = link.with_name("..new")
    new.symlink_to(target)
    new.replace(link)


def a_folder(place: Path, name: str) -> None:
    place.mkdir()
    (place / "edited_flows.py").write_text(FLOWS)
    write(place / "edited_lib.py", name)


def loaded(file: Path) -> str:
    return load_app(str(file)).name


def test_nothing_changed(tmp_path: Path) -> None:
    a_folder(tmp_path / "a", "one")
    file = tmp_path / "a" / "edited_flows.py"
    loaded(file)
    sources = WatchedSources(file)
    assert not sources.has_changed()
    file.touch()
    (tmp_path / "a" / "notes.txt").write_text("x")
    loaded(file)
    assert not sources.has_changed()


def test_a_mounted_folder_is_swapped_as_kubernetes_does(tmp_path: Path) -> None:
    a_folder(tmp_path / "..v1", "one")
    a_folder(tmp_path / "..v2", "two")
    point(tmp_path / "..data", "..v1")
    for name in ("edited_flows.py", "edited_lib.py"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    file = tmp_path / "edited_flows.py"
    assert loaded(file) == "one"
    sources = WatchedSources(file)
    point(tmp_path / "..data", "..v2")
    assert sources.has_changed()
    assert loaded(file) == "two"
    assert not sources.has_changed()
    assert str((tmp_path / "..v1").resolve()) not in sys.path


def test_a_folder_behind_a_link_is_swapped(tmp_path: Path) -> None:
    a_folder(tmp_path / "v1", "one")
    a_folder(tmp_path / "v2", "two")
    point(tmp_path / "current", "v1")
    file = tmp_path / "current" / "edited_flows.py"
    assert loaded(file) == "one"
    sources = WatchedSources(file)
    point(tmp_path / "current", "v2")
    assert sources.has_changed()
    assert loaded(file) == "two"
    assert not sources.has_changed()


def test_a_module_behind_a_link_of_its_own(tmp_path: Path) -> None:
    a_folder(tmp_path / "a", "one")
    write(tmp_path / "shared" / "edited_lib.py", "two")
    file, lib = tmp_path / "a" / "edited_flows.py", tmp_path / "a" / "edited_lib.py"
    point(lib, "../shared/edited_lib.py")
    assert loaded(file) == "two"
    sources = WatchedSources(file)
    write(tmp_path / "shared" / "edited_lib.py", "six")
    assert sources.has_changed()
    assert loaded(file) == "six"


def test_a_module_of_a_package_below(tmp_path: Path) -> None:
    a_folder(tmp_path / "a", "one")
    write(tmp_path / "a" / "edited_package" / "__init__.py", "one")
    file = tmp_path / "a" / "edited_flows.py"
    file.write_text(FLOWS.replace("edited_lib", "edited_package"))
    assert loaded(file) == "one"
    sources = WatchedSources(file)
    write(tmp_path / "a" / "edited_package" / "__init__.py", "two")
    assert sources.has_changed()
    assert loaded(file) == "two"


def test_an_edit_of_the_same_size_and_time(tmp_path: Path) -> None:
    a_folder(tmp_path / "a", "one")
    file, lib = tmp_path / "a" / "edited_flows.py", tmp_path / "a" / "edited_lib.py"
    os.utime(lib, (1, 1))
    assert loaded(file) == "one"
    sources = WatchedSources(file)
    write(lib, "two")
    os.utime(lib, (1, 1))
    assert sources.has_changed()
    assert loaded(file) == "two"


@pytest.mark.parametrize("same", [True, False])
def test_a_file_that_is_deleted_and_made_again(tmp_path: Path, same: bool) -> None:
    a_folder(tmp_path / "a", "one")
    file = tmp_path / "a" / "edited_flows.py"
    loaded(file)
    sources = WatchedSources(file)
    file.unlink()
    assert not sources.has_changed()
    assert sources.missing
    file.write_text(FLOWS if same else FLOWS + "more = 1\n")
    assert sources.has_changed() is not same
    assert not sources.missing


def test_an_editor_that_writes_aside_and_renames(tmp_path: Path) -> None:
    a_folder(tmp_path / "a", "one")
    file = tmp_path / "a" / "edited_flows.py"
    loaded(file)
    sources = WatchedSources(file)
    (tmp_path / "a" / ".swap").write_text(FLOWS + "more = 1\n")
    (tmp_path / "a" / ".swap").replace(file)
    assert sources.has_changed()
    assert not sources.has_changed()


def test_a_new_module_beside(tmp_path: Path) -> None:
    a_folder(tmp_path / "a", "one")
    file = tmp_path / "a" / "edited_flows.py"
    (tmp_path / "a" / "edited_lib.py").unlink()
    with pytest.raises(Exception, match="edited_lib"):
        loaded(file)
    sources = WatchedSources(file)
    write(tmp_path / "a" / "edited_lib.py", "two")
    assert sources.has_changed()
    assert loaded(file) == "two"


def test_a_folder_that_is_called_as_the_package(tmp_path: Path) -> None:
    a_folder(tmp_path / "busway", "one")
    file = tmp_path / "busway" / "edited_flows.py"
    assert loaded(file) == "one"
    sources = WatchedSources(file)
    write(tmp_path / "busway" / "edited_lib.py", "two")
    assert sources.has_changed()
    assert loaded(file) == "two"
