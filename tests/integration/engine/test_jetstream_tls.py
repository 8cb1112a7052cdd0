"""An address that insists on TLS gets it, or nothing is said to the servers."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import trustme

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.errors import StoreError
from nats_cluster import NatsCluster, nats_cluster
from nats_proxy import proxy_to

_TLS = """
tls {{
  cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{folder}/ca.pem"
  timeout: 60
}}
"""


@pytest.fixture
def name() -> str:
    return f"log{uuid.uuid4().hex}"


@pytest.fixture
def served(tmp_path: Path) -> str:
    """Return the configuration of a server with a certificate for 127.0.0.1, its CA in a file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    return _TLS.format(folder=tmp_path)


def versions(server: NatsCluster) -> list[str]:
    """Return the versions of TLS of the connections that the server has, empty for plain text."""
    found = server.nodes[0].ask("connz")["connections"]
    return [str(one.get("tls_version", "")) for one in found]


@pytest.mark.parametrize(
    "address",
    [
        "tls://me:geheim@127.0.0.1:{port}/{name}",
        "nats://me:geheim@127.0.0.1:{port}/{name}?tls=true",
        "nats://me:geheim@127.0.0.1:{port}/{name}?ca={folder}/ca.pem",
    ],
)
async def test_servers_without_tls_get_no_password(
    name: str, address: str, served: str, tmp_path: Path
) -> None:
    assert served  # for the CA in a file
    with nats_cluster(extra="authorization { user: me, password: geheim }") as server:
        async with proxy_to(server.nodes[0].port) as way:
            way.hold()
            place = JetStreamAddress.parse(
                address.format(port=way.port, name=name, folder=tmp_path)
            )
            with pytest.raises(StoreError, match=r"has no TLS.*nats://"):
                await JetStreamLog.open(place, 2)
            assert not way.holds(b"CONNECT")


@pytest.mark.parametrize("extra", ["", "allow_non_tls: true"])
async def test_servers_with_tls_are_spoken_to_through_it(
    name: str, extra: str, served: str, tmp_path: Path
) -> None:
    with nats_cluster(extra=served + extra) as server:
        address = server.address(name, ca=tmp_path / "ca.pem").replace("nats:", "tls:")
        log = await JetStreamLog.open(JetStreamAddress.parse(address), 2)
        assert versions(server) == ["1.3"]
        await log.close()
