"""What has to be so before a log opens in JetStream: servers, stream, identity, access."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.engine.jetstream.connection import NatsConnection
from busway.errors import StoreCorrupted, StoreError, StoreTooNew, StoreTooOld
from busway.ports import NewBatch
from nats_admin import edit, request
from nats_cluster import NatsCluster, nats_cluster

nkeys = importlib.import_module("nkeys")
AT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def name() -> str:
    return f"log{uuid.uuid4().hex}"


async def works(place: JetStreamAddress) -> None:
    log = await JetStreamLog.open(place, 2)
    assert list(await log.append([NewBatch(0, [b"a"])], AT)) == [0]
    await log.close()


def limits(nats: NatsCluster) -> dict[str, int]:
    """Return what each stream may have, in bytes."""
    found = nats.nodes[0].ask("jsz?streams=true&config=true")["account_details"]
    streams = [stream for one in found for stream in one.get("stream_detail", [])]
    return {stream["name"]: stream["config"]["max_bytes"] for stream in streams}


async def test_many_open_at_once(nats: NatsCluster, name: str) -> None:
    places = [JetStreamAddress.parse(nats.address(name)) for _ in range(6)]
    logs = await asyncio.gather(*(JetStreamLog.open(place, 3) for place in places))
    assert len({log.identity for log in logs}) == 1
    for log in logs:
        await log.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_age": 3_600_000_000_000}, "max_age is 3600000000000 and must be 0"),
        ({"max_msgs": 1000}, "max_msgs is 1000 and must be -1"),
        ({"discard": "old"}, "discard is 'old' and must be 'new'"),
        ({"allow_direct": False}, "allow_direct is False and must be True"),
        ({"subjects": ["elsewhere"], "republish": None}, "subjects is"),
    ],
)
async def test_a_stream_with_other_settings_is_refused(
    nats: NatsCluster, name: str, wrong: dict[str, Any], message: str
) -> None:
    place = JetStreamAddress.parse(nats.address(name))
    await works(place)
    await edit(nats, name, **wrong)
    with pytest.raises(StoreError, match=message):
        await JetStreamLog.open(place, 2)


async def test_a_stream_in_memory_is_refused(nats: NatsCluster, name: str) -> None:
    place = JetStreamAddress.parse(nats.address(name))
    await works(place)
    found = await request(nats, f"$JS.API.STREAM.INFO.{name}", {})
    await request(nats, f"$JS.API.STREAM.DELETE.{name}", {})
    config = found["config"] | {"storage": "memory"}
    await request(nats, f"$JS.API.STREAM.CREATE.{name}", config)
    with pytest.raises(StoreError, match="storage is 'memory' and must be 'file'"):
        await JetStreamLog.open(place, 2)


async def test_a_stream_of_another_program_is_left_unchanged(nats: NatsCluster, name: str) -> None:
    await request(nats, f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.x"]})
    with pytest.raises(StoreError, match="was not made by Busway"):
        await JetStreamLog.open(JetStreamAddress.parse(nats.address(name)), 2)


@pytest.mark.parametrize(
    ("version", "error", "message"),
    [
        ("99", StoreTooNew, "format 99 and this Busway reads format 2; upgrade Busway"),
        ("1", StoreTooOld, "format 1 and this Busway reads format 2; give the log another name"),
    ],
)
async def test_a_log_of_another_format_is_refused_and_left_unchanged(
    nats: NatsCluster, name: str, version: str, error: type[StoreError], message: str
) -> None:
    address = JetStreamAddress.parse(nats.address(name))
    await works(address)
    stream = await request(nats, f"$JS.API.STREAM.INFO.{name}", {})
    await edit(nats, name, metadata=stream["config"]["metadata"] | {"busway.format": version})
    before = await request(nats, f"$JS.API.STREAM.INFO.{name}", {})
    with pytest.raises(error, match=message):
        await JetStreamLog.open(address, 2, 1_000_000)
    after = await request(nats, f"$JS.API.STREAM.INFO.{name}", {})
    assert (after["config"], after["state"]) == (before["config"], before["state"])


async def test_replicas_that_cannot_be_had_are_refused(nats: NatsCluster, name: str) -> None:
    with pytest.raises(StoreError, match=r"cannot get its replicas.*\?replicas=1"):
        await JetStreamLog.open(JetStreamAddress.parse(nats.address(name, replicas=3)), 2)


async def test_other_replicas_than_asked_for_are_refused(nats: NatsCluster, name: str) -> None:
    await works(JetStreamAddress.parse(nats.address(name)))
    with pytest.raises(StoreError, match="num_replicas is 1 and 3 is asked for"):
        await JetStreamLog.open(JetStreamAddress.parse(nats.address(name, replicas=3)), 2)


async def test_the_limit_of_a_log_can_be_changed(nats: NatsCluster, name: str) -> None:
    place = JetStreamAddress.parse(nats.address(name))
    await works(place)
    for max_bytes, expected in ((5_000_000, 5_000_000), (0, -1)):
        log = await JetStreamLog.open(place, 2, max_bytes)
        await log.close()
        found = await request(nats, f"$JS.API.STREAM.INFO.{name}", {})
        assert found["config"]["max_bytes"] == expected


async def test_a_single_copy_is_warned_of(nats: NatsCluster, name: str) -> None:
    log = await JetStreamLog.open(JetStreamAddress.parse(nats.address(name)), 2)
    await log.close()
    assert [caution for caution in log.warnings if "keeps 1 copy" in caution]
    assert not [caution for caution in log.warnings if "sync" in caution]


async def test_three_replicas_on_servers_that_sync_need_no_warning(name: str) -> None:
    with nats_cluster(3) as cluster:
        log = await JetStreamLog.open(JetStreamAddress.parse(cluster.address(name)), 2)
        await log.close()
        assert list(log.warnings) == []
        unknown = msgspec.structs.replace(JetStreamAddress.parse(cluster.address(name)), monitor=())
        log = await JetStreamLog.open(unknown, 2)
        await log.close()
        (caution,) = log.warnings
        assert "it is not known whether the servers sync" in caution
        assert "sync_interval: always" in caution


async def test_a_server_whose_monitoring_address_is_not_given_is_named(name: str) -> None:
    with nats_cluster(3) as three:
        first, second, third = three.nodes
        monitors = f"{first.monitor},{second.monitor}"
        log = await JetStreamLog.open(
            JetStreamAddress.parse(three.address(name, monitor=monitors)), 2
        )
        (caution,) = log.warnings
        assert f"how these servers with a copy sync is not known: {third.name};" in caution
        await log.close()


async def test_servers_that_sync_lazily_are_refused_unless_accepted(name: str) -> None:
    with nats_cluster(sync="2m") as lazy:
        with pytest.raises(
            StoreError, match=r"acknowledge before they sync.*sync_interval: always"
        ):
            await JetStreamLog.open(JetStreamAddress.parse(lazy.address(name)), 2)
        log = await JetStreamLog.open(JetStreamAddress.parse(lazy.address(name, sync="lazy")), 2)
        await log.close()
        assert "acknowledge before they sync" in log.warnings[0]
        elsewhere = JetStreamAddress.parse(lazy.address(name, monitor="http://127.0.0.1:1"))
        log = await JetStreamLog.open(elsewhere, 2)
        await log.close()
        assert "do not report how they sync" in log.warnings[0]


async def test_servers_that_take_small_messages_only_are_refused(name: str) -> None:
    with nats_cluster(max_payload=1024 * 1024) as small:
        place = JetStreamAddress.parse(small.address(name))
        with pytest.raises(StoreError, match=r"set max_payload to \d+ or more"):
            await JetStreamLog.open(place, 2)
        log = await JetStreamLog.open(place, 2, max_event_bytes=1_000_000)
        await log.append([NewBatch(0, [os.urandom(1_000_000)] * 3)], AT)
        assert await log.bounds(0) == (0, 3)
        await log.close()


async def test_servers_without_jetstream_say_so(name: str) -> None:
    extra = """
      accounts { A { users: [{ user: a, password: a }] } }
      no_auth_user: a
    """
    with nats_cluster(extra=extra) as without, pytest.raises(StoreError, match="not enabled"):
        await JetStreamLog.open(JetStreamAddress.parse(without.address(name)), 2)


@pytest.mark.parametrize(
    ("extra", "right", "wrong"),
    [
        ("authorization { user: me, password: secret }", "me:secret", "me:wrong"),
        ('authorization { token: "s3cr3t" }', "s3cr3t", "other"),
    ],
)
async def test_passwords_and_tokens(name: str, extra: str, right: str, wrong: str) -> None:
    with nats_cluster(extra=extra) as guarded:
        query = f"monitor={guarded.monitors}"
        await works(JetStreamAddress.parse(f"nats://{right}@{guarded.servers}/{name}?{query}"))
        with pytest.raises(StoreError, match=r"(?i)authorization"):
            await JetStreamLog.open(
                JetStreamAddress.parse(f"nats://{wrong}@{guarded.servers}/{name}"), 2
            )


async def test_every_client_with_a_wrong_password_hears_why(name: str) -> None:
    """Also where the server has closed the connection before the client went on."""
    with nats_cluster(extra="authorization { user: me, password: secret }") as guarded:
        place = JetStreamAddress.parse(f"nats://me:wrong@{guarded.servers}/{name}")
        for _ in range(10):
            told = await asyncio.gather(
                *(NatsConnection.open(place) for _ in range(60)), return_exceptions=True
            )
            assert [str(error) for error in told if "Authorization" not in str(error)] == []


async def test_a_server_that_is_not_nats_is_reported(name: str) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(StoreError, match=r"does not speak NATS.*is the address right"):
            await JetStreamLog.open(JetStreamAddress.parse(f"nats://127.0.0.1:{port}/{name}"), 2)


async def test_servers_without_jetstream_are_told_to_have_it(name: str) -> None:
    with nats_cluster(max_payload=1024 * 1024, extra="jetstream: false") as plain:
        assert not plain.nodes[0].ask("varz").get("jetstream", {}).get("config")
        with pytest.raises(StoreError, match="have no JetStream; add a jetstream block"):
            await JetStreamLog.open(JetStreamAddress.parse(f"nats://{plain.servers}/{name}"), 2)


@pytest.mark.parametrize("made", [False, True])
async def test_only_the_log_that_is_meant_is_opened(
    nats: NatsCluster, name: str, made: bool
) -> None:
    place = JetStreamAddress.parse(nats.address(name))
    if made:
        await works(place)
    before = limits(nats)
    with pytest.raises(StoreCorrupted, match="this ledger belongs to the log meant"):
        await JetStreamLog.open(place, 2, 5_000_000, identity="meant")
    assert limits(nats) == before
    assert (name in before) == made


async def test_a_server_that_dies_while_a_log_opens_and_is_read(name: str) -> None:
    with nats_cluster(3) as cluster:
        place = JetStreamAddress.parse(cluster.address(name))
        log = await JetStreamLog.open(place, 2)
        await log.append([NewBatch(0, [b"a"])], AT)
        await log.close()
        leader = cluster.leader(name)
        log = await JetStreamLog.open(place, 2)
        leader.kill()
        assert await log.bounds(0) == (0, 1)
        assert [list(batch.events) for batch in await log.read(0, 0, 1000)] == [[b"a"]]
        await log.close()
        other = await JetStreamLog.open(place, 2)
        assert await other.bounds(0) == (0, 1)
        await other.close()


def key_pair(prefix: int) -> tuple[str, str]:
    """Return the seed and the public key of a new NKey."""
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


async def test_nkeys(name: str, tmp_path: Path) -> None:
    seed, public = key_pair(nkeys.PREFIX_BYTE_USER)
    (tmp_path / "seed.nk").write_text(seed)
    with nats_cluster(extra=f"authorization {{ users: [{{ nkey: {public} }}] }}") as guarded:
        await works(JetStreamAddress.parse(guarded.address(name, nkey=tmp_path / "seed.nk")))
        with pytest.raises(StoreError, match=r"(?i)authorization"):
            await JetStreamLog.open(JetStreamAddress.parse(guarded.address(name)), 2)


def token_of(seed: str, claims: dict[str, Any]) -> str:
    """Return a JWT as NATS has them, signed with an NKey."""
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {"jti": uuid.uuid4().hex, "iat": 1} | claims]
    text = b".".join(_base64(json.dumps(part).encode()) for part in parts)
    signature = nkeys.from_seed(bytearray(seed.encode())).sign(text)
    return (text + b"." + _base64(signature)).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


async def test_a_file_of_credentials(name: str, tmp_path: Path) -> None:
    operator, operator_key = key_pair(nkeys.PREFIX_BYTE_OPERATOR)
    account, account_key = key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
    _, system_key = key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
    user, user_key = key_pair(nkeys.PREFIX_BYTE_USER)
    limits = {"subs": -1, "data": -1, "payload": -1}
    storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    whole = limits | {"conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": True}
    trusted = token_of(
        operator,
        {"iss": operator_key, "sub": operator_key, "nats": {"type": "operator", "version": 2}},
    )
    about = {"type": "account", "version": 2}
    known, system = (
        token_of(operator, {"iss": operator_key, "sub": key, "nats": about | {"limits": allowed}})
        for key, allowed in ((account_key, whole | storage), (system_key, whole))
    )
    own = token_of(
        account,
        {"iss": account_key, "sub": user_key, "nats": {"type": "user", "version": 2} | limits},
    )
    (tmp_path / "user.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{own}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user}\n------END USER NKEY SEED------\n"
    )
    extra = f"""
      operator: {trusted}
      resolver: MEMORY
      system_account: {system_key}
      resolver_preload: {{ {account_key}: {known}, {system_key}: {system} }}
    """
    with nats_cluster(extra=extra) as guarded:
        await works(JetStreamAddress.parse(guarded.address(name, creds=tmp_path / "user.creds")))


async def test_tls_with_a_certificate_of_the_client(name: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for who, host in (("server", "127.0.0.1"), ("client", "busway@example.com")):
        issued = authority.issue_cert(host)
        issued.private_key_pem.write_to_path(tmp_path / f"{who}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{who}.pem")
    extra = f"""
      tls {{
        cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key"
        ca_file: "{tmp_path}/ca.pem", verify: true, timeout: 60
      }}
    """
    with nats_cluster(extra=extra) as guarded:
        files = {"ca": tmp_path / "ca.pem", "cert": tmp_path / "client.pem"}
        await works(
            JetStreamAddress.parse(guarded.address(name, **files, key=tmp_path / "client.key"))
        )
        with pytest.raises(StoreError):
            await JetStreamLog.open(
                JetStreamAddress.parse(guarded.address(name, ca=tmp_path / "ca.pem")), 2
            )
