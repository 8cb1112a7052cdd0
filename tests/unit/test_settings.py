"""Settings: what is read from where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway.errors import SettingsError
from busway.settings import (
    ListenAddress,
    Settings,
    api_address,
    child_environment,
    env,
    load_settings,
    requires_intake_keys,
    resolve,
    state_directory,
    unknown_settings,
)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("partitions", "0", "an integer from 1 to 1000"),
        ("partitions", "-3", "an integer from 1 to 1000"),
        ("partitions", "1001", "an integer from 1 to 1000"),
        ("port", "99999", "an integer from 0 to 65535"),
        ("port", "-1", "an integer from 0 to 65535"),
        ("workers", "-1", "an integer from 0 to 256"),
        ("workers", "1000", "an integer from 0 to 256"),
        ("workers", "", "an integer from 0 to 256"),
        ("workers", "two", "an integer from 0 to 256"),
        ("max_body_bytes", "0", "an integer >= 1"),
        ("max_event_bytes", "-1", "an integer >= 1"),
        ("max_log_bytes", "-1", "an integer >= 0"),
        ("drain_s", "-1", "a number from 0 to 3162240000"),
        ("retention_age_s", "nan", "a number from 0 to 3162240000"),
        ("dedupe_window_s", "inf", "a number from 0 to 3162240000"),
        ("log_level", "loud", "debug, info, warning or error"),
        ("api_port", "70000", "an integer from 0 to 65535"),
        ("intake_keys", "perhaps", "required or off"),
        ("log_format", "yaml", "text or json"),
        ("api_open", "perhaps", "true or false"),
    ],
)
def test_invalid_values_are_rejected(name: str, value: str, wanted: str) -> None:
    variable = f"BUSWAY_{name.upper()}"
    with pytest.raises(SettingsError) as error:
        load_settings({variable: value})
    assert str(error.value) == f"invalid {variable} {value!r}: use {wanted}"


def test_arguments_are_validated() -> None:
    with pytest.raises(SettingsError, match="invalid port 99999: use an integer"):
        load_settings({}, port=99999)


def test_arguments_override_the_environment() -> None:
    settings = load_settings({"BUSWAY_PORT": "1", "BUSWAY_WORKERS": "3"}, port=2, workers=None)
    assert (settings.port, settings.workers) == (2, 3)


def test_a_log_level_is_case_insensitive() -> None:
    assert load_settings({"BUSWAY_LOG_LEVEL": "WARNING"}).log_level == "warning"


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load_settings({}) == Settings()
    assert load_settings(child_environment(Settings())) == Settings(), "as a worker gets them"


@pytest.mark.parametrize("given", [{"BUSWAY_API_TOKEN": "T0KEN\n"}, {"BUSWAY_API_TOKEN": "ü" * 40}])
def test_a_weak_token_is_rejected_without_being_shown(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="BUSWAY_API_TOKEN is too weak") as refused:
        load_settings(given)
    assert given["BUSWAY_API_TOKEN"].strip() not in str(refused.value)


def test_a_token_is_stripped() -> None:
    assert (
        load_settings({"BUSWAY_API_TOKEN": "4tKp9_wzQ-rB7xYd2mLs\n"}).api_token
        == "4tKp9_wzQ-rB7xYd2mLs"
    )
    assert load_settings({"BUSWAY_API_TOKEN": "\n"}).api_token == ""


@pytest.mark.parametrize(
    ("found", "folder"),
    [
        ({"XDG_STATE_HOME": "/state"}, "/state/busway"),
        ({"XDG_STATE_HOME": "state"}, None),
        ({}, None),
    ],
)
def test_the_state_directory_follows_xdg(found: dict[str, str], folder: str | None) -> None:
    wanted = Path(folder) if folder else Path.home() / ".local/state/busway"
    assert state_directory(found) == wanted


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("BUSWAY_PROT", "BUSWAY_PROT is not a setting of Busway; did you mean BUSWAY_PORT?"),
        ("BUSWAY_API_TOKNE", "did you mean BUSWAY_API_TOKEN?"),
        ("BUSWAY_ZZZZZZ", "docs/reference.md lists them"),
    ],
)
def test_an_unknown_variable_gives_a_warning_with_a_suggestion(name: str, says: str) -> None:
    (warning,) = unknown_settings({name: "secret", "BUSWAY_PORT": "1", "OTHER_PROT": "2"})
    assert says in warning
    assert "secret" not in warning


def test_an_unset_variable_suggests_a_similar_set_variable() -> None:
    with pytest.raises(SettingsError, match=r"DATABSE_URL is not set \(but DATABASE_URL is"):
        resolve(env("DATABSE_URL"), {"DATABASE_URL": "x", "HOME": "y"})


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, None),
        ({"BUSWAY_API_PORT": "8400"}, None),
        ({"BUSWAY_API_HOST": "127.0.0.1"}, None),
        ({"BUSWAY_API_PORT": "8401"}, ("127.0.0.1", 8401)),
        ({"BUSWAY_API_HOST": "10.0.0.5"}, ("10.0.0.5", 8400)),
        ({"BUSWAY_HOST": "0.0.0.0", "BUSWAY_API_PORT": "1"}, ("0.0.0.0", 1)),
        ({"BUSWAY_PORT": "0", "BUSWAY_API_PORT": "0"}, ("127.0.0.1", 0)),
    ],
)
def test_the_api_has_a_separate_address_if_configured(
    given: dict[str, str], address: ListenAddress | None
) -> None:
    assert api_address(load_settings(given)) == address
    assert api_address(load_settings(child_environment(load_settings(given)))) == address, (
        "as a worker gets them"
    )


@pytest.mark.parametrize(
    ("host", "keys", "needed"),
    [
        ("127.0.0.1", "", False),
        ("localhost", "", False),
        ("::1", "", False),
        ("0.0.0.0", "", True),
        ("", "", True),
        ("10.0.0.5", "", True),
        ("10.0.0.5", "off", False),
        ("127.0.0.1", "required", True),
    ],
)
def test_events_need_keys_beyond_loopback_unless_it_is_said_otherwise(
    host: str, keys: str, needed: bool
) -> None:
    assert (
        requires_intake_keys(load_settings({"BUSWAY_HOST": host, "BUSWAY_INTAKE_KEYS": keys}))
        is needed
    )
