"""An address of JetStream says where it is, who one is there, and how it is to be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway.engine.jetstream import Place
from busway.errors import SettingsError


def test_an_address_names_servers_and_log() -> None:
    place = Place.of("nats://one:4223,two/orders?replicas=5&window_s=60&compress=false")
    assert place.servers == ("one:4223", "two:4222")
    assert (place.name, place.replicas, place.window_s) == ("orders", 5, 60.0)
    assert (place.compress, place.sync, place.tls) == (False, "always", False)


def test_a_log_has_a_name_by_itself() -> None:
    assert Place.of("nats://one").name == "busway"


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("me:p%40ss", {"user": "me", "password": "p@ss"}),
        ("s3cr3t", {"token": "s3cr3t"}),
    ],
)
def test_an_address_says_who_one_is(who: str, expected: dict[str, str]) -> None:
    connecting = Place.of(f"nats://{who}@one,two/log").connecting()
    assert expected.items() <= connecting.items()
    assert connecting["servers"] == ["nats://one:4222", "nats://two:4222"]


def test_servers_may_be_named_by_ipv6_addresses() -> None:
    found = Place.of("nats://one,[::1],[fe80::1]:4333/log")
    assert found.connecting()["servers"] == [
        "nats://one:4222",
        "nats://[::1]:4222",
        "nats://[fe80::1]:4333",
    ]


def test_files_of_credentials_are_handed_on(tmp_path: Path) -> None:
    creds, seed = tmp_path / "busway.creds", tmp_path / "seed.nk"
    creds.touch()
    seed.touch()
    connecting = Place.of(f"nats://one?creds={creds}&nkey={seed}").connecting()
    assert connecting["user_credentials"] == str(creds)
    assert connecting["nkeys_seed"] == str(seed)


@pytest.mark.parametrize("address", ["tls://one", "nats://one?tls=true", "tls://one?tls=false"])
def test_tls_is_asked_for_by_the_scheme_or_an_option(address: str) -> None:
    connecting = Place.of(address).connecting()
    assert connecting["servers"] == ["tls://one:4222"]
    assert connecting["tls"].check_hostname


def test_what_a_person_sees_has_no_secrets() -> None:
    assert str(Place.of("nats://me:secret@one,two/log?nkey=/x")) == "nats://one:4222,two:4222/log"


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
        ("nats://one?window_s=0", "at least 0.1"),
    ],
)
def test_a_mistake_is_named(address: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Place.of(address)


@pytest.mark.parametrize("option", ["creds", "nkey", "ca", "cert"])
def test_a_missing_file_is_named(option: str) -> None:
    with pytest.raises(SettingsError, match=rf"/nowhere cannot be read.*correct \?{option}="):
        Place.of(f"nats://one?{option}=/nowhere").connecting()
    with pytest.raises(SettingsError, match=rf"/nowhere cannot be read.*correct \?{option}="):
        Place.of(f"nats://one?{option}=/nowhere").check_files()


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(SettingsError, match="TLS files cannot be used"):
        Place.of(f"nats://one?ca={tmp_path}/ca.pem").connecting()


@pytest.mark.parametrize("secret", ["ge/heim", "ge?heim", "ge#heim", "g/e?heim"])
def test_a_password_with_a_sign_that_ends_it_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="an @ behind its hosts") as caught:
        Place.of(f"nats://me:{secret}@db.example.com/shop")
    assert "heim" not in str(caught.value)
