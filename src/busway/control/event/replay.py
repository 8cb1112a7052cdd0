"""The requests of replays, to determine what a replay did with an event."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busway.control.event.subject import StorySubject
from busway.control.job import jobs
from busway.control.replay.match import ReplayMatcher
from busway.control.replay.operation import ReplayRequest, request_of
from busway.delivery.replay import replay_lane_name
from busway.errors import EventError
from busway.ports import Ledger
from busway.rule import Pattern


class ReplayCriteria(msgspec.Struct, frozen=True):
    """The request of a replay: its selection, and the file that it writes to if not the sink."""

    request: ReplayRequest

    def selects(self, subject: StorySubject, rule: Pattern | None) -> bool:
        """Return whether the replay selects an event."""
        partition, offset = subject.position.partition, subject.position.offset
        here = any(offset in offsets for offsets in self.request.select.ranges_in(partition))
        if not here or rule is None or subject.raw is None:
            return here
        try:
            return bool(ReplayMatcher(rule, self.request.select).match(subject.raw))
        except EventError:
            return here


async def replay_criteria(ledger: Ledger) -> Mapping[str, ReplayCriteria]:
    """Return the request of each replay, by the name of its lanes."""
    criteria = {}
    for job in await jobs(ledger, "replay"):
        request = request_of(job)
        criteria[replay_lane_name(job.flow, job.id)] = ReplayCriteria(request)
    return criteria
