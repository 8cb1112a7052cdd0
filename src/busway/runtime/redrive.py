"""The redriving loop: works the jobs on dead letters, page after page, each at its own rate."""

from __future__ import annotations

import msgspec
import structlog

from busway.control.control import Control
from busway.control.dead.job import KINDS, PAGE, Spec, patch_of, work_page
from busway.control.dead.patch import Patch
from busway.control.job import Job, alter, jobs
from busway.delivery.throttle import Rate, Throttle
from busway.errors import BuswayError, StoreError
from busway.runtime.loop import Loop

POLL_S = 0.25
_QUICK_S = 0.5
_log = structlog.get_logger("busway")


class Redriver:
    """Takes a page of each running job in turn; a stop is noticed before the next page."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._hands: dict[str, _Hand] = {}

    async def turn(self, loop: Loop) -> None:
        """Work a page of each job that may go on, then wait until one may."""
        running = [job for job in await jobs(self._control.ledger) if _is_mine(job)]
        known = {job.id: self._hands.get(job.id) or _Hand(job) for job in running}
        self._hands = known
        waits_s = [await self._page(known[job.id], job) for job in running]
        wait_s = min(waits_s, default=POLL_S)
        if wait_s > 0:
            with loop.idle():
                await self._control.clock.sleep(min(wait_s, POLL_S))

    async def _page(self, hand: _Hand, job: Job) -> float:
        """Work a page where the rate allows it; return how long to wait for the next one."""
        now = self._control.clock.monotonic()
        wait_s = hand.wait_s(now)
        if wait_s > 0:
            return wait_s
        try:
            function = await hand.patch(job)
            after = await work_page(self._control, job, function, hand.most)
        except StoreError:
            raise
        except BuswayError as error:
            await self._fail(job, str(error))
            return 0.0
        if after is not None:
            hand.used(now, after.done - job.done)
        if function is not None:
            hand.took(self._control.clock.monotonic() - now)
        if after is not None and after.state == "done":
            _log.info(f"{job.kind} done", job=job.id, letters=after.done, who=job.who)
            self._control.wake()
        return hand.wait_s(now)

    async def _fail(self, job: Job, error: str) -> None:
        _log.error(f"{job.kind} failed", job=job.id, error=error)
        at = self._control.clock.now()
        await alter(
            self._control.ledger,
            job.id,
            lambda one: msgspec.structs.replace(one, state="failed", error=error, changed_at=at),
        )


class _Hand:
    """What is kept in hand of a job while it runs: its throttle, and its patch once loaded."""

    def __init__(self, job: Job) -> None:
        self._throttle = None if job.rate is None else Throttle(_paged(Rate.parse(job.rate)))
        self._patch: Patch | None = None
        self._page = PAGE if msgspec.json.decode(job.spec, type=Spec).patch is None else 1

    @property
    def most(self) -> int:
        """How many letters a page may have."""
        return self._page if self._throttle is None else min(self._page, self._throttle.rate.burst)

    def took(self, seconds: float) -> None:
        """Make the next page of a patch larger while it is quick: nothing can be stopped within."""
        self._page = min(PAGE, 2 * self._page) if seconds < _QUICK_S else 1

    def wait_s(self, now: float) -> float:
        return 0.0 if self._throttle is None else self._throttle.wait_s(now, self.most)

    def used(self, now: float, letters: int) -> None:
        if self._throttle is not None:
            self._throttle = self._throttle.used(now, letters)

    async def patch(self, job: Job) -> Patch | None:
        if self._patch is None:
            self._patch = await patch_of(job)
        return self._patch


def _paged(rate: Rate) -> Rate:
    """Return a rate with a burst, where none was said, that makes pages of some size.

    Each page is a transaction, and what a transaction costs is shared by its letters.
    """
    burst = max(1, int(rate.per_s * POLL_S)) if rate.at_once is None else rate.at_once
    return Rate(rate.per_s, burst)


def _is_mine(job: Job) -> bool:
    return job.state == "running" and job.kind in KINDS
