"""The settings of a process. No other module reads the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin

import msgspec
from dotenv import load_dotenv

from busway.credential import require_strong_secret
from busway.declarable import checks_parameters
from busway.errors import SettingsError
from busway.network import listens_on_loopback
from busway.spelling import nearest

PREFIX = "BUSWAY_"
_SIMILARITY = 0.8
"""How similar the name of a variable must be to be suggested."""
NOT_LISTENING = -1
"""The port of a process that does not listen."""
_CENTURY_S = 100 * 366 * 86400.0
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Workers = Annotated[int, msgspec.Meta(ge=0, le=256)]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""At most as many as one append in JetStream takes, so that every installation can be moved."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=_CENTURY_S)]
IntakeKeyPolicy = Literal["", "required", "off"]
LogFormat = Literal["", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Env(msgspec.Struct, frozen=True):
    """A value that is read from the environment when Busway starts, never at import."""

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
    """How one Busway process runs. ``BUSWAY_<FIELD>`` in the environment sets a field."""

    data: Path = Path(".busway")
    """The data directory."""
    engine: str = ""
    """The store to use instead: ``postgresql://…``, or ``nats://…`` for the log."""
    ledger: str = ""
    """The ledger, ``postgresql://…``, if the engine is ``nats://…``."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 8400
    """The port to listen on; 0: any free port."""
    api_host: str = ""
    """A separate address for the API."""
    api_port: Port | None = None
    """A separate port for the API; 0: any free port."""
    intake_keys: IntakeKeyPolicy = ""
    """``required`` or ``off``: whether events need a key; by default, unless on loopback."""
    workers: Workers = 0
    """Number of worker processes. 0: the main process delivers."""
    partitions: Partitions = 4
    """Number of partitions of a new log; it cannot be changed later."""
    dedupe_window_s: Seconds = 600.0
    """How long duplicates are recognised by source and id, in seconds."""
    max_body_bytes: Positive = 16 * 1024 * 1024
    """The largest request body, before and after decompression."""
    max_event_bytes: Positive = 1024 * 1024
    """The largest single event."""
    max_in_flight_bytes: Positive = 128 * 1024 * 1024
    """The maximum size of all request bodies in flight; above it, requests get 429."""
    max_in_flight_requests: Positive = 4096
    """The maximum number of requests in flight; above it, requests get 429."""
    max_log_bytes: Size = 0
    """The maximum size of the log; above it, requests get 507. 0: limited by the disk."""
    min_free_bytes: Size = 64 * 1024 * 1024
    """The free disk space below which requests get 507."""
    replay_dir: str = ""
    """The directory for replays into files; by default, ``replays`` in the data directory."""
    retention_age_s: Seconds = 7 * 86400.0
    """How long events are kept after every lane has read them, in seconds."""
    retention_bytes: Size = 0
    """The log size above which the oldest events read by every lane are deleted. 0: no limit."""
    drain_s: Seconds = 10.0
    """How long a shutdown waits for the batches in flight, in seconds."""
    api_token: str = ""
    """The token that every API call needs; by default, one is generated at the first start."""
    api_open: bool = False
    """For development: accept API calls without a token, on loopback only."""
    url: str = ""
    """The server that commands call; by default, the one that has the data directory open."""
    log_format: LogFormat = ""
    """``text`` or ``json``; by default, text on a terminal, else JSON."""
    log_level: LogLevel = "info"
    """``debug``, ``info`` (one line per flow and second), ``warning`` or ``error``."""


def load_settings(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings: arguments override the environment, which overrides the defaults.

    Raises :class:`SettingsError` that names the variable and its valid values.
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
    """Return whether a setting is given as an argument or in the environment."""
    source = os.environ if environment is None else environment
    return given.get(name) is not None or PREFIX + name.upper() in source


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child process with the same settings."""
    values = {PREFIX + name.upper(): value for name, value in _fields(settings)}
    others = {name: value for name, value in os.environ.items() if name not in values}
    return others | {name: str(value) for name, value in values.items() if value is not None}


class ListenAddress(NamedTuple):
    """The address that a server listens on."""

    host: str
    port: int


def api_address(settings: Settings) -> ListenAddress | None:
    """Return the separate address of the API, or ``None`` if it has none."""
    host = settings.api_host or settings.host
    port = settings.port if settings.api_port is None else settings.api_port
    if (host, port) == (settings.host, settings.port) and settings.api_port != 0:
        return None
    return ListenAddress(host, port)


def requires_intake_keys(settings: Settings) -> bool:
    """Return whether the intake requires keys."""
    if settings.intake_keys:
        return settings.intake_keys == "required"
    return not listens_on_loopback(settings.host)


def _fields(settings: Settings) -> Iterator[tuple[str, object]]:
    return ((name, getattr(settings, name)) for name in settings.__struct_fields__)


def load_for_command(**given: Any) -> Settings:
    """Return the settings; ``data`` as an argument overrides an engine in the environment.

    Raises :class:`SettingsError` also if both ``data`` and ``engine`` are arguments.
    """
    if given.get("data") is not None:
        if given.get("engine"):
            raise SettingsError("--data and --engine exclude each other; use one of them")
        given |= {"engine": "", "ledger": ""}
    return load_settings(**given)


def _convert(name: str, value: object, kind: Any) -> object:
    if kind is Path:
        return Path(str(value))
    if get_origin(kind) is Literal:
        value = str(value).lower()
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        choices = (
            [argument for argument in get_args(kind) if argument]
            if get_origin(kind) is Literal
            else []
        )
        near = nearest(str(value), choices)
        hint = f" (did you mean {near!r}?)" if near else ""
        raise SettingsError(
            f"invalid {name} {value!r}: use {_describe_setting_type(kind)}{hint}"
        ) from error


def _describe_setting_type(kind: Any) -> str:
    """Describe the valid values of a setting.

    >>> (_describe_setting_type(Partitions), _describe_setting_type(Positive),
    ...  _describe_setting_type(LogFormat))
    ('an integer from 1 to 1000', 'an integer >= 1', 'text or json')
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
    kind_name = "an integer" if number is int else "a number"
    if limits.le is None:
        return f"{kind_name} >= {limits.ge}"
    return f"{kind_name} from {limits.ge} to {limits.le:.0f}"


def load_env_file(folder: Path) -> None:
    """Load a ``.env`` file into the environment, without overriding variables that are set."""
    load_dotenv(folder / ".env")


def state_directory(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the directory for this user's persistent state, ``None`` if there is none."""
    source = os.environ if environment is None else environment
    configured = Path(source.get("XDG_STATE_HOME") or "")
    if configured.is_absolute():
        return configured / "busway"
    try:
        return Path.home() / ".local" / "state" / "busway"
    except RuntimeError:
        return None


def editor_command(environment: Mapping[str, str] | None = None) -> str:
    """Return the command of the user's editor: ``$VISUAL``, or else ``$EDITOR``."""
    source = os.environ if environment is None else environment
    return source.get("VISUAL") or source.get("EDITOR") or "vi"


def resolve(value: str | Env, environment: Mapping[str, str] | None = None) -> str:
    """Return a value; an :class:`Env` is read from the environment.

    Raises :class:`SettingsError` if the variable is not set and has no default.
    """
    if not isinstance(value, Env):
        return value
    source = os.environ if environment is None else environment
    setting = source.get(value.name, value.default)
    if setting is None:
        near = nearest(value.name, source, _SIMILARITY)
        hint = f" (but {near} is; did you mean that?)" if near else ""
        raise SettingsError(f"the environment variable {value.name} is not set{hint}")
    return setting


def unknown_settings(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each ``BUSWAY_`` variable of the environment that is not a setting."""
    source = os.environ if environment is None else environment
    known = [PREFIX + name.upper() for name in Settings.__struct_fields__]
    warnings = []
    for name in sorted(one for one in source if one.startswith(PREFIX) and one not in known):
        near = nearest(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known])
        fix = f"did you mean {PREFIX}{near}?" if near else "docs/reference.md lists them"
        warnings.append(f"{name} is not a setting of Busway; {fix}")
    return warnings
