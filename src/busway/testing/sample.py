"""Records to test a ledger with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from busway.lane import Counts, Settlement, Trouble, Verdict

AT = datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def trouble(offset: int, key: str | None = None, **given: Any) -> Trouble:
    """Return a parked event of flow ``f`` on partition 0, due at ``AT``."""
    plain = Trouble("f", 0, offset, b"{}", f"id-{offset}", "parked", AT, 1, AT, key)
    return msgspec.structs.replace(plain, **given)


def settlement(start: int, end: int, *troubles: Trouble, **given: Any) -> Settlement:
    """Return a settlement of flow ``f`` on partition 0; what is no trouble is delivered."""
    states = [each.state for each in troubles]
    counts = Counts(
        delivered=end - start - len(states),
        parked=states.count("parked"),
        dead=states.count("dead"),
    )
    plain = Settlement("f", 0, start, end, AT, "v1", counts, troubles)
    return msgspec.structs.replace(plain, **given)


Became = Literal["delivered", "filtered", "discarded"] | Trouble


def verdict(about: Trouble, became: Became, at: datetime = AT) -> Verdict:
    """Return a verdict on a trouble as it stands."""
    return Verdict(
        about.flow, about.partition, about.offset, about.attempts, about.state, became, at
    )
