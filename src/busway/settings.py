"""The one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import msgspec
from dotenv import load_dotenv

from busway.credential import require_strong_secret
from busway.declarable import checks_parameters
from busway.errors import SettingsError
from busway.network import listens_on_loopback
from busway.spelling import nearest

PREFIX = "BUSWAY_"
_SIMILARITY = 0.8
"""How alike names of variables must be for one to be taken for the other."""
NOT_LISTENING = -1
"""The port of one that does not listen."""
_CENTURY_S = 100 * 366 * 86400.0
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Workers = Annotated[int, msgspec.Meta(ge=0, le=256)]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""As many as one append in JetStream takes, so that every directory can be moved there."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=_CENTURY_S)]
IntakeKeyPolicy = Literal["", "required", "off"]
LogFormat = Literal["", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Env(msgspec.Struct, frozen=True):
    """A value that is taken from the environment when Busway starts, never at import."""

    shown: ClassVar[str] = 'env("NAME")'
    name: str
    default: str | None = None

    def __repr__(self) -> str:
        return f"env({self.name!r})"


@checks_parameters
def env(name: str, default: str | None = None) -> Env:
    """Stand for the environment variable ``name`` in a declaration."""
    return Env(name, default)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one Busway process runs. Each field is read from ``BUSWAY_<FIELD>`` where that is set."""

    data: Path = Path(".busway")
    """The data directory."""
    engine: str = ""
    """What is used in its place: ``postgresql://…``, or ``nats://…`` for the log."""
    ledger: str = ""
    """Where the ledger is when the engine is ``nats://…``: ``postgresql://…``."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 8400
    """The port to listen on; 0 takes a free one."""
    api_host: str = ""
    """The address of the API, if it is to have one of its own."""
    api_port: Port | None = None
    """The port of the API, if it is to have one of its own; 0 takes a free one."""
    intake_keys: IntakeKeyPolicy = ""
    """``required`` or ``off``: whether events need a key; if not set, beyond loopback they do."""
    workers: Workers = 0
    """How many processes deliver beside the one that takes events; 0 for that one itself."""
    partitions: Partitions = 4
    """How many partitions a new log gets; fixed from then on."""
    dedupe_window_s: Seconds = 600.0
    """How long an event's source and id are remembered, in seconds."""
    max_body_bytes: Positive = 16 * 1024 * 1024
    """The largest request body, before and after decompression."""
    max_event_bytes: Positive = 1024 * 1024
    """The largest single event."""
    max_in_flight_bytes: Positive = 128 * 1024 * 1024
    """The request bodies held at a time, before 429."""
    max_in_flight_requests: Positive = 4096
    """The requests held at a time, before 429."""
    max_log_bytes: Size = 0
    """The size at which the log takes no more (507); 0 for as much as the disk holds."""
    min_free_bytes: Size = 64 * 1024 * 1024
    """The free space on the disk below which the log takes no more (507)."""
    replay_dir: str = ""
    """The directory that replays into a file write to; if empty, replays in the data directory."""
    retention_age_s: Seconds = 7 * 86400.0
    """How long events that every lane has read are kept, in seconds."""
    retention_bytes: Size = 0
    """The size above which the oldest events that every lane has read go; 0 for no limit."""
    drain_s: Seconds = 10.0
    """How long a stop waits for the batches in hand, in seconds."""
    api_token: str = ""
    """What the API asks of every caller; if it is not set, one is made at the first start."""
    api_open: bool = False
    """For development: answer API calls without a token, on loopback only."""
    url: str = ""
    """The server that commands talk to; by itself the one that has the data directory open."""
    log_format: LogFormat = ""
    """``text`` or ``json``; by itself text on a terminal, JSON elsewhere."""
    log_level: LogLevel = "info"
    """``debug``, ``info`` (a line a batch), ``warning`` or ``error``."""


def load_settings(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings: what is given, over the environment, over the defaults.

    Raises :class:`SettingsError` that names the variable and what it must be.
    """
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        variable = PREFIX + field.name.upper()
        if given.get(field.name) is not None:
            values[field.name] = _convert(field.name, given[field.name], field.type)
        elif variable in source:
            values[field.name] = _convert(variable, source[variable], field.type)
    if "api_token" in values:
        values["api_token"] = require_strong_secret(f"{PREFIX}API_TOKEN", str(values["api_token"]))
    return Settings(**values)


def is_setting_given(name: str, environment: Mapping[str, str] | None = None, **given: Any) -> bool:
    """Say whether a setting is given, or in the environment."""
    source = os.environ if environment is None else environment
    return given.get(name) is not None or PREFIX + name.upper() in source


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a process that is to have the same settings."""
    values = {PREFIX + name.upper(): value for name, value in _fields(settings)}
    others = {name: value for name, value in os.environ.items() if name not in values}
    return others | {name: str(value) for name, value in values.items() if value is not None}


def api_address(settings: Settings) -> tuple[str, int] | None:
    """Return the host and the port of an API with an address of its own, or ``None``."""
    host = settings.api_host or settings.host
    port = settings.port if settings.api_port is None else settings.api_port
    if (host, port) == (settings.host, settings.port) and settings.api_port != 0:
        return None
    return host, port


def requires_intake_keys(settings: Settings) -> bool:
    """Say whether the intake asks for keys."""
    if settings.intake_keys:
        return settings.intake_keys == "required"
    return not listens_on_loopback(settings.host)


def _fields(settings: Settings) -> Iterator[tuple[str, object]]:
    return ((name, getattr(settings, name)) for name in settings.__struct_fields__)


def load_for_command(**given: Any) -> Settings:
    """Return the settings; a data directory that is given wins over an engine of the environment.

    Raises :class:`SettingsError` also when both are given.
    """
    if given.get("data") is not None:
        if given.get("engine"):
            raise SettingsError("--data and --engine are two places; give one of them")
        given |= {"engine": "", "ledger": ""}
    return load_settings(**given)


def _convert(name: str, found: object, kind: Any) -> object:
    if kind is Path:
        return Path(str(found))
    if get_origin(kind) is Literal:
        found = str(found).lower()
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        choices = [one for one in get_args(kind) if one] if get_origin(kind) is Literal else []
        near = nearest(str(found), choices)
        hint = f" (did you mean {near!r}?)" if near else ""
        raise SettingsError(
            f"{name} is {found!r}; give {_describe_setting_type(kind)}{hint}"
        ) from error


def _describe_setting_type(kind: Any) -> str:
    """Say what a setting takes.

    >>> (_describe_setting_type(Partitions), _describe_setting_type(Positive),
    ...  _describe_setting_type(LogFormat))
    ('a whole number from 1 to 1000', 'a whole number from 1', 'text or json')
    """
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        *others, last = filter(None, arguments)
        return f"{', '.join(others)} or {last}"
    if kind is bool:
        return "true or false"
    if NoneType in arguments:
        return _describe_setting_type(arguments[0])
    number, limits = arguments
    most = "" if limits.le is None else f" to {limits.le:.0f}"
    return f"a {'whole ' * (number is int)}number from {limits.ge}{most}"


def load_env_file(folder: Path) -> None:
    """Take the variables of a ``.env`` file into the environment; what is set already wins."""
    load_dotenv(folder / ".env")


def state_directory(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return where this user's programs keep what they know between runs; ``None`` if nowhere."""
    source = os.environ if environment is None else environment
    given = Path(source.get("XDG_STATE_HOME") or "")
    if given.is_absolute():
        return given / "busway"
    try:
        return Path.home() / ".local" / "state" / "busway"
    except RuntimeError:
        return None


def editor_command(environment: Mapping[str, str] | None = None) -> str:
    """Return the command that this user edits a text with: ``$VISUAL``, or else ``$EDITOR``."""
    source = os.environ if environment is None else environment
    return source.get("VISUAL") or source.get("EDITOR") or "vi"


def resolve(value: str | Env, environment: Mapping[str, str] | None = None) -> str:
    """Return a value, taken from the environment where it stands for a variable.

    Raises :class:`SettingsError` when the variable is not set.
    """
    if not isinstance(value, Env):
        return value
    source = os.environ if environment is None else environment
    found = source.get(value.name, value.default)
    if found is None:
        near = nearest(value.name, source, _SIMILARITY)
        hint = f" ({near} is: did you mean that?)" if near else ""
        raise SettingsError(f"the environment variable {value.name} is not set{hint}")
    return found


def unknown_settings(environment: Mapping[str, str] | None = None) -> list[str]:
    """Say which variables of the environment look like settings and are none."""
    source = os.environ if environment is None else environment
    known = [PREFIX + name.upper() for name in Settings.__struct_fields__]
    found = []
    for name in sorted(one for one in source if one.startswith(PREFIX) and one not in known):
        near = nearest(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known])
        fix = f"did you mean {PREFIX}{near}?" if near else "docs/reference.md lists them"
        found.append(f"{name} is not a setting of Busway; {fix}")
    return found
