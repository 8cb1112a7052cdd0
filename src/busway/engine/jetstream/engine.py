"""The engine of many machines: opens a log in JetStream, with its ledger in PostgreSQL."""

from __future__ import annotations

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.log import JetStreamLog
from busway.engine.jetstream.move import JetStreamTarget
from busway.engine.ledger_binding import bind_ledger, bound_log_identity, refuse_unfinished_move
from busway.engine.postgres.engine import require_stores
from busway.engine.postgres.store import open_ledger
from busway.errors import SettingsError, StoreMoved
from busway.ports import StoreOptions, Stores
from busway.ports.move import MoveTarget

_LEDGER_SCHEMES = ("postgresql://", "postgres://")


class JetStreamEngine:
    """Opens a stream and a database."""

    async def open_stores(self, options: StoreOptions) -> Stores:
        _require_ledger(options)
        JetStreamAddress.parse(options.address).check_files()
        ledger, label = await open_ledger(options)
        try:
            await refuse_unfinished_move(ledger, label)
            log = await _open_log(options, await bound_log_identity(ledger))
            try:
                await bind_ledger(ledger, log.identity)
            except BaseException:
                await log.close()
                raise
        except BaseException:
            await ledger.close()
            raise
        name = f"{JetStreamAddress.parse(options.address)}, ledger in {label}"
        warnings = [*log.warnings, *ledger.warnings]
        return Stores(log, ledger, is_shared=True, name=name, warnings=warnings)

    async def open_existing(self, options: StoreOptions) -> Stores:
        _require_ledger(options)
        await require_stores(options.ledger)
        return await self.open_stores(options)

    def move_target(self, options: StoreOptions) -> MoveTarget:
        _require_ledger(options)
        return JetStreamTarget(options)


def _require_ledger(options: StoreOptions) -> None:
    if not options.ledger.startswith(_LEDGER_SCHEMES):
        raise SettingsError(
            "a log at nats://… needs a ledger in PostgreSQL; give --ledger postgresql://…"
        )


async def _open_log(options: StoreOptions, identity: str) -> JetStreamLog:
    address = JetStreamAddress.parse(options.address)
    limits = (options.max_log_bytes, options.max_event_bytes)
    log = await JetStreamLog.open(address, options.partitions, *limits, identity)
    if log.is_move_unfinished:
        await log.close()
        raise StoreMoved(
            f"{address}: a move into it is unfinished, with another ledger; run `busway move` again"
            " to continue it"
        )
    return log
