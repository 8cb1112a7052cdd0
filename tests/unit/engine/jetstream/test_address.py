"""An address of JetStream says where it is, who one is there, and how it is to be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway.engine.jetstream import JetStreamAddress
from busway.errors import SettingsError


def test_an_address_names_servers_and_log() -> None:
    place = JetStreamAddress.parse(
        "nats://one:4223,two/orders?replicas=5&duplicate_window_s=60&compress=false"
    )
    assert place.servers == ("one:4223", "two:4222")
    assert (place.name, place.replicas, place.duplicate_window_s) == ("orders", 5, 60.0)
    assert (place.compress, place.sync, place.tls) == (False, "always", False)


def test_a_log_has_a_default_name() -> None:
    assert JetStreamAddress.parse("nats://one").name == "busway"


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("me:p%40ss", {"user": "me", "password": "p@ss"}),
        ("s3cr3t", {"token": "s3cr3t"}),
    ],
)
def test_an_address_has_credentials(who: str, expected: dict[str, str]) -> None:
    connecting = JetStreamAddress.parse(f"nats://{who}@one,two/log").connect_options()
    assert expected.items() <= connecting.items()
    assert connecting["servers"] == ["nats://one:4222", "nats://two:4222"]


def test_servers_may_be_named_by_ipv6_addresses() -> None:
    found = JetStreamAddress.parse("nats://one,[::1],[fe80::1]:4333/log")
    assert found.connect_options()["servers"] == [
        "nats://one:4222",
        "nats://[::1]:4222",
        "nats://[fe80::1]:4333",
    ]


def test_files_of_credentials_are_handed_on(tmp_path: Path) -> None:
    creds, seed = tmp_path / "busway.creds", tmp_path / "seed.nk"
    creds.touch()
    seed.touch()
    connecting = JetStreamAddress.parse(f"nats://one?creds={creds}&nkey={seed}").connect_options()
    assert connecting["user_credentials"] == str(creds)
    assert connecting["nkeys_seed"] == str(seed)


@pytest.mark.parametrize("address", ["tls://one", "nats://one?tls=true", "tls://one?tls=false"])
def test_tls_is_asked_for_by_the_scheme_or_an_option(address: str) -> None:
    connecting = JetStreamAddress.parse(address).connect_options()
    assert connecting["servers"] == ["tls://one:4222"]
    assert connecting["tls"].check_hostname


def test_a_label_has_no_secrets() -> None:
    assert (
        str(JetStreamAddress.parse("nats://me:secret@one,two/log?nkey=/x"))
        == "nats://one:4222,two:4222/log"
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://one", "must be like nats://"),
        ("nats://", "must be like nats://"),
        ("nats://one/a.b", "'a.b' must be of letters"),
        ("nats://one?replica=3", "no option 'replica'; did you mean 'replicas'"),
        ("nats://one?servers=two", "no option 'servers'; there are: user, password, token, tls"),
        ("nats://one?replicas=many", "replicas is 'many'; give a whole number"),
        ("nats://one?compress=perhaps", "compress is 'perhaps'; give true or false"),
        ("nats://one?key=/etc/client.key", "key is given without its cert"),
        ("nats://one?replicas=7", "replicas is 7"),
        ("nats://one?sync=never", "sync is 'never'"),
        ("nats://one?duplicate_window_s=0", "at least 0.1"),
    ],
)
def test_a_mistake_is_named(address: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        JetStreamAddress.parse(address)


@pytest.mark.parametrize("option", ["creds", "nkey", "ca", "cert"])
def test_a_missing_file_is_named(option: str) -> None:
    with pytest.raises(SettingsError, match=rf"/nowhere cannot be read.*correct \?{option}="):
        JetStreamAddress.parse(f"nats://one?{option}=/nowhere").connect_options()
    with pytest.raises(SettingsError, match=rf"/nowhere cannot be read.*correct \?{option}="):
        JetStreamAddress.parse(f"nats://one?{option}=/nowhere").check_files()


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(SettingsError, match="TLS files cannot be used"):
        JetStreamAddress.parse(f"nats://one?ca={tmp_path}/ca.pem").connect_options()


@pytest.mark.parametrize("secret", ["ge/heim", "ge?heim", "ge#heim", "g/e?heim"])
def test_a_password_with_a_sign_that_ends_it_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="an @ behind its hosts") as caught:
        JetStreamAddress.parse(f"nats://me:{secret}@db.example.com/shop")
    assert "heim" not in str(caught.value)
