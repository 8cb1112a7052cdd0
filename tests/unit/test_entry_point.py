"""What installed distributions add, found by entry points: real ones, in a folder on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from busway import sinks, sources, steps
from busway.engine.registry import engine_of, open_stores
from busway.entry_point import EntryPointGroup
from busway.errors import BuswayError, ExtensionError, SettingsError
from busway.settings import Settings

Install = Callable[[str, str, str, str], None]
ENGINE = """
from busway.testing import memory_stores

class MemoryEngine:
    async def open_stores(self, options):
        return memory_stores(options.partitions)

class NoEngine:
    pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one entry point: its name, group, entry point and module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def installed(name: str, group: str, entry: str, code: str) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        module = entry.partition("= ")[2].partition(":")[0]
        (tmp_path / f"{module}.py").write_text(code)
        modules.append(module)

    yield installed
    for module in modules:
        sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("module", "group", "own"),
    [
        (sinks, "busway.sinks", sinks.__all__),
        (sources, "busway.sources", sources.__all__),
        (steps, "busway.steps", []),
    ],
)
def test_our_own_come_in_by_the_same_door(module: ModuleType, group: str, own: list[str]) -> None:
    names = EntryPointGroup(group, "one").names()
    assert set(names) <= set(own)
    assert sorted(own) == dir(module)
    for name in names:
        assert getattr(module, name) is EntryPointGroup(group, "one").load(name)


@pytest.mark.parametrize("kind", ["sinks", "sources", "steps"])
def test_a_name_of_another_distribution_is_imported(install: Install, kind: str) -> None:
    code = "def shout(event):\n    return {'text': event.data.upper()}\n"
    install("busway-shout", f"busway.{kind}", "shout = busway_shout:shout", code)
    module = import_module(f"busway.{kind}")
    assert "shout" in dir(module)
    namespace: dict[str, object] = {}
    try:
        exec(f"from busway.{kind} import shout", namespace)
        assert namespace["shout"] is import_module("busway_shout").shout
    finally:
        vars(module).pop("shout", None)


def test_an_unknown_name_is_an_import_error_that_says_what_there_is() -> None:
    with pytest.raises(ImportError, match=r"there is no sink 'postgrs'; did you mean 'postgres'\?"):
        exec("from busway.sinks import postgrs")
    with pytest.raises(ExtensionError, match="there is no sink 'x9'; there are: bus, chat, cons"):
        exec("from busway.sinks import x9")
    with pytest.raises(BuswayError, match="there is no step 'shout'; there are none"):
        _ = steps.shout


def test_tools_may_look_for_names_of_their_own() -> None:
    assert not hasattr(sinks, "__wrapped__")
    assert not hasattr(sinks, "_pytestfixturefunction")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import redis_that_is_not_there", "no module named 'redis_that_is_not_there' in this Pyt"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("other = 1", "AttributeError: module 'busway_redis' has no attribute 'Redis'"),
        ("def:", "SyntaxError: invalid syntax"),
    ],
)
def test_one_that_cannot_be_imported_says_whose_it_is(
    install: Install, code: str, reason: str
) -> None:
    install("busway-redis", "busway.sinks", "redis = busway_redis:Redis", code)
    with pytest.raises(ExtensionError) as raised:
        exec("from busway.sinks import redis")
    whose = "the sink 'redis' of busway-redis 1.0 (busway_redis:Redis) cannot be imported: "
    assert str(raised.value).startswith(whose + reason)
    assert raised.value.__cause__ is not None


def test_a_name_that_two_distributions_have_is_an_error_that_names_both(install: Install) -> None:
    install("busway-redis", "busway.sinks", "redis = busway_redis:Redis", "Redis = 1")
    install("other-redis", "busway.sinks", "redis = other_redis:Redis", "Redis = 2")
    with pytest.raises(ExtensionError) as raised:
        exec("from busway.sinks import redis")
    error = str(raised.value)
    assert "busway-redis 1.0" in error
    assert "other-redis 1.0" in error
    assert sinks.console().name == "console", "other names still work"


async def test_an_engine_is_found_by_the_scheme_of_its_address(install: Install) -> None:
    entry = "trial = busway_trial:MemoryEngine"
    install("busway-trial", "busway.engines", entry, ENGINE)
    stores = await open_stores(Settings(engine="trial://here", partitions=3))
    assert stores.log.partitions == 3
    await stores.close()


@pytest.mark.parametrize(
    ("engine", "error", "text"),
    [
        ("mysql://x", ExtensionError, "there is no engine 'mysql'; there are: nats, none, postgre"),
        ("postgre://x", ExtensionError, "there is no engine 'postgre'; did you mean 'postgres'?"),
        ("here", SettingsError, "'here' is not the address of an engine; give one like postgresql"),
        ("none://x", ExtensionError, "the engine 'none' is not one: it returns a NoEngine"),
    ],
)
def test_what_is_no_engine_is_refused(
    install: Install, engine: str, error: type[BuswayError], text: str
) -> None:
    install("busway-none", "busway.engines", "none = busway_none:NoEngine", ENGINE)
    with pytest.raises(error) as raised:
        engine_of(Settings(engine=engine))
    assert str(raised.value).startswith(text)


async def test_a_data_directory_is_not_given_by_a_scheme() -> None:
    with pytest.raises(SettingsError, match="give its path with --data"):
        await open_stores(Settings(engine="sqlite:///tmp/x"))
