"""The redriving loop: works the jobs on dead letters, page after page, each at its own rate."""

from __future__ import annotations

import msgspec
import structlog

from busway.control.context import ControlContext
from busway.control.dead_letter.job import (
    DEAD_LETTER_JOB_KINDS,
    PAGE_SIZE,
    DeadLetterJobSpec,
    load_job_patch,
    work_page,
)
from busway.control.dead_letter.patch import Patch
from busway.control.job import Job, jobs, update_job
from busway.delivery.rate import Rate, Throttle
from busway.errors import BuswayError, StoreError
from busway.runtime.loop import Loop

POLL_S = 0.25
_QUICK_PAGE_S = 0.5
_log = structlog.get_logger("busway")


class DeadLetterJobRunner:
    """Takes a page of each running job in turn; a stop is noticed before the next page."""

    def __init__(self, control: ControlContext) -> None:
        self._control = control
        self._running: dict[str, _RunningJob] = {}

    async def run_once(self, loop: Loop) -> None:
        """Work a page of each job that may go on, then wait until one may."""
        running = [job for job in await jobs(self._control.ledger) if _is_dead_letter_job(job)]
        known = {job.id: self._running.get(job.id) or _RunningJob(job) for job in running}
        self._running = known
        waits_s = [await self._work_page(known[job.id], job) for job in running]
        wait_s = min(waits_s, default=POLL_S)
        if wait_s > 0:
            with loop.interruptible():
                await self._control.clock.sleep(min(wait_s, POLL_S))

    async def _work_page(self, running: _RunningJob, job: Job) -> float:
        """Work a page where the rate allows it; return how long to wait for the next one."""
        now = self._control.clock.monotonic()
        wait_s = running.wait_s(now)
        if wait_s > 0:
            return wait_s
        try:
            function = await running.patch(job)
            after = await work_page(self._control, job, function, running.page_limit)
        except StoreError:
            raise
        except BuswayError as error:
            await self._fail(job, str(error))
            return 0.0
        if after is not None:
            running.used_letters(now, after.done - job.done)
        if function is not None:
            running.page_took(self._control.clock.monotonic() - now)
        if after is not None and after.state == "done":
            _log.info(f"{job.kind} done", job=job.id, letters=after.done, who=job.actor)
            self._control.wake()
        return running.wait_s(now)

    async def _fail(self, job: Job, error: str) -> None:
        _log.error(f"{job.kind} failed", job=job.id, error=error)
        at = self._control.clock.now()
        await update_job(
            self._control.ledger,
            job.id,
            lambda one: msgspec.structs.replace(one, state="failed", error=error, changed_at=at),
        )


class _RunningJob:
    """What is kept in hand of a job while it runs: its throttle, and its patch once loaded."""

    def __init__(self, job: Job) -> None:
        self._throttle = (
            None if job.rate is None else Throttle(_with_page_burst(Rate.parse(job.rate)))
        )
        self._patch: Patch | None = None
        self._page_size = (
            PAGE_SIZE if msgspec.json.decode(job.spec, type=DeadLetterJobSpec).patch is None else 1
        )

    @property
    def page_limit(self) -> int:
        """How many letters a page may have."""
        return (
            self._page_size
            if self._throttle is None
            else min(self._page_size, self._throttle.rate.burst)
        )

    def page_took(self, seconds: float) -> None:
        """Make the next page of a patch larger while it is quick: nothing can be stopped within."""
        self._page_size = min(PAGE_SIZE, 2 * self._page_size) if seconds < _QUICK_PAGE_S else 1

    def wait_s(self, now: float) -> float:
        return 0.0 if self._throttle is None else self._throttle.wait_s(now, self.page_limit)

    def used_letters(self, now: float, dead_letters: int) -> None:
        if self._throttle is not None:
            self._throttle = self._throttle.consume(now, dead_letters)

    async def patch(self, job: Job) -> Patch | None:
        if self._patch is None:
            self._patch = await load_job_patch(job)
        return self._patch


def _with_page_burst(rate: Rate) -> Rate:
    """Return a rate with a burst, where none was said, that makes pages of some size.

    Each page is a transaction, and what a transaction costs is shared by its letters.
    """
    burst = max(1, int(rate.per_s * POLL_S)) if rate.declared_burst is None else rate.declared_burst
    return Rate(rate.per_s, burst)


def _is_dead_letter_job(job: Job) -> bool:
    return job.state == "running" and job.kind in DEAD_LETTER_JOB_KINDS
