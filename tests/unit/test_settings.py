"""Settings: what is read from where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway.errors import SettingsError
from busway.settings import (
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
        ("partitions", "0", "a whole number from 1 to 1000"),
        ("partitions", "-3", "a whole number from 1 to 1000"),
        ("partitions", "1001", "a whole number from 1 to 1000"),
        ("port", "99999", "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("workers", "-1", "a whole number from 0 to 256"),
        ("workers", "1000", "a whole number from 0 to 256"),
        ("workers", "", "a whole number from 0 to 256"),
        ("workers", "two", "a whole number from 0 to 256"),
        ("max_body_bytes", "0", "a whole number from 1"),
        ("max_event_bytes", "-1", "a whole number from 1"),
        ("max_log_bytes", "-1", "a whole number from 0"),
        ("drain_s", "-1", "a number from 0 to 3162240000"),
        ("retention_age_s", "nan", "a number from 0 to 3162240000"),
        ("dedupe_window_s", "inf", "a number from 0 to 3162240000"),
        ("log_level", "loud", "debug, info, warning or error"),
        ("api_port", "70000", "a whole number from 0 to 65535"),
        ("intake_keys", "perhaps", "required or off"),
        ("log_format", "yaml", "text or json"),
        ("api_open", "perhaps", "true or false"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str, wanted: str) -> None:
    variable = f"BUSWAY_{name.upper()}"
    with pytest.raises(SettingsError) as refused:
        load_settings({variable: value})
    assert str(refused.value) == f"{variable} is {value!r}; give {wanted}"


def test_what_is_given_is_looked_at_as_well() -> None:
    with pytest.raises(SettingsError, match="port is 99999; give a whole number"):
        load_settings({}, port=99999)


def test_what_is_given_wins_over_the_environment() -> None:
    found = load_settings({"BUSWAY_PORT": "1", "BUSWAY_WORKERS": "3"}, port=2, workers=None)
    assert (found.port, found.workers) == (2, 3)


def test_a_level_may_be_written_in_capitals() -> None:
    assert load_settings({"BUSWAY_LOG_LEVEL": "WARNING"}).log_level == "warning"


def test_the_defaults_are_what_is_taken() -> None:
    assert load_settings({}) == Settings()
    assert load_settings(child_environment(Settings())) == Settings(), "as a worker gets them"


@pytest.mark.parametrize("given", [{"BUSWAY_API_TOKEN": "T0KEN\n"}, {"BUSWAY_API_TOKEN": "ü" * 40}])
def test_a_weak_token_is_refused_without_being_shown(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="BUSWAY_API_TOKEN is refused") as refused:
        load_settings(given)
    assert given["BUSWAY_API_TOKEN"].strip() not in str(refused.value)


def test_a_token_is_taken_without_the_newline_of_its_file() -> None:
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
def test_what_a_user_keeps_between_runs_has_a_folder(
    found: dict[str, str], folder: str | None
) -> None:
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
def test_a_variable_that_is_nearly_a_setting_is_told(name: str, says: str) -> None:
    (told,) = unknown_settings({name: "secret", "BUSWAY_PORT": "1", "OTHER_PROT": "2"})
    assert says in told
    assert "secret" not in told


def test_an_unset_variable_names_the_one_that_is_set() -> None:
    with pytest.raises(SettingsError, match=r"DATABSE_URL is not set \(DATABASE_URL is"):
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
def test_the_api_has_an_address_of_its_own_where_one_is_given(
    given: dict[str, str], address: tuple[str, int] | None
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
