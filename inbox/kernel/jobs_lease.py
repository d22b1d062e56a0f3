"""All SQL about running jobs: claim, renew, finish, put back.

Every statement about a running job names the lease it runs under. Each claim has a lease name of its own that is never
used again, so what comes late from a lost lease touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from inbox.kernel.database import UnitOfWork
from inbox.kernel.jobs import Job

LOST = "the worker that ran it was lost"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. ``retry``: again after ``seconds``; ``dead``: never again by itself."""

    job: Job
    ended: Literal["done", "retry", "dead"]
    error: str | None = None
    seconds: float = 0.0


async def claim(unit: UnitOfWork, lease: str, wanted: Mapping[str, int], lease_seconds: float) -> list[Job]:
    """Lease due jobs, the longest overdue first: at most as many of each queue as ``wanted`` says."""
    found = await unit.fetch(CLAIM, list(wanted), list(wanted.values()), lease, lease_seconds)
    return [Job(*row) for row in found]


async def renew(unit: UnitOfWork, running: Sequence[Job], lease_seconds: float) -> set[UUID]:
    """Lengthen the leases that are still held, and say which jobs they are of."""
    return {row[0] for row in await unit.fetch(RENEW, *_held(running), lease_seconds)}


async def take_back(unit: UnitOfWork, queues: Sequence[str]) -> tuple[int, int]:
    """Queue jobs whose lease ran out: how many, and how many of them are dead because it was their last attempt."""
    found = await unit.fetch(TAKE_BACK, queues, LOST)
    return len(found), sum(row[0] == "dead" for row in found)


async def finish(unit: UnitOfWork, outcomes: Sequence[Outcome]) -> None:
    """Write what became of runs; those whose lease went to somebody else are passed over."""
    done = [outcome.job for outcome in outcomes if outcome.ended == "done"]
    other = [outcome for outcome in outcomes if outcome.ended != "done"]
    if done:
        asked = [job.asked for job in done]
        deleted = await unit.fetch(DELETE, *_held(done), asked)
        if len(deleted) < len(done):
            await unit.execute(RUN_AGAIN, *_held(done), asked)
    if other:
        await unit.execute(
            PUT_BACK,
            *_held([outcome.job for outcome in other]),
            [outcome.job.asked for outcome in other],
            [outcome.ended for outcome in other],
            [outcome.error for outcome in other],
            [outcome.seconds for outcome in other],
        )


async def release(unit: UnitOfWork, unfinished: Sequence[Job]) -> None:
    """Put back what could not be finished before the worker had to stop; the attempt is not held against the job."""
    await unit.execute(RELEASE, *_held(unfinished))


def _held(jobs: Sequence[Job]) -> tuple[list[UUID], list[UUID], list[str]]:
    return [job.workspace_id for job in jobs], [job.id for job in jobs], [job.lease for job in jobs]


CLAIM = """
WITH due AS (
    SELECT picked.workspace_id, picked.id
    FROM unnest($1::text[], $2::int[]) AS lane (queue, free) CROSS JOIN LATERAL (
        SELECT workspace_id, id FROM jobs
        WHERE queue = lane.queue AND state = 'queued' AND run_at <= now()
        ORDER BY run_at LIMIT lane.free FOR UPDATE SKIP LOCKED
    ) picked
)
UPDATE jobs j SET state = 'running', worker = $3, leased_until = now() + make_interval(secs => $4),
    attempts = j.attempts + 1
FROM due WHERE j.workspace_id = due.workspace_id AND j.id = due.id
RETURNING j.workspace_id, j.id, j.queue, j.key, j.payload, j.attempts, j.max_attempts, j.asked, j.worker, j.created_at
"""

_ROWS = "unnest($1::uuid[], $2::uuid[], $3::text[]{types}) AS held (workspace_id, id, lease{names})"
_HELD = "j.workspace_id = held.workspace_id AND j.id = held.id AND j.state = 'running' AND j.worker = held.lease"
_RUNS = _ROWS.format(types="", names="")
_RUNS_ASKED = _ROWS.format(types=", $4::int[]", names=", asked")
_RUNS_ENDED = _ROWS.format(
    types=", $4::int[], $5::text[], $6::text[], $7::float8[]", names=", asked, ended, error, seconds"
)

RENEW = f"""
UPDATE jobs j SET leased_until = now() + make_interval(secs => $4) FROM {_RUNS} WHERE {_HELD} RETURNING j.id
"""

DELETE = f"DELETE FROM jobs j USING {_RUNS_ASKED} WHERE {_HELD} AND j.asked = held.asked RETURNING j.id"

# It was asked for again while it ran: the time of that request is in run_at, and the attempts begin anew.
RUN_AGAIN = f"""
UPDATE jobs j SET state = 'queued', attempts = 0, worker = NULL, leased_until = NULL, last_error = NULL
FROM {_RUNS_ASKED} WHERE {_HELD} AND j.asked > held.asked
"""

PUT_BACK = f"""
UPDATE jobs j SET worker = NULL, leased_until = NULL, last_error = held.error,
    attempts = CASE WHEN j.asked > held.asked THEN 0 ELSE j.attempts END,
    state = CASE WHEN j.asked > held.asked OR held.ended = 'retry' THEN 'queued' ELSE 'dead' END,
    run_at = CASE WHEN j.asked > held.asked THEN j.run_at ELSE now() + make_interval(secs => held.seconds) END
FROM {_RUNS_ENDED} WHERE {_HELD}
"""

RELEASE = f"""
UPDATE jobs j SET state = 'queued', attempts = j.attempts - 1, worker = NULL, leased_until = NULL, run_at = now()
FROM {_RUNS} WHERE {_HELD}
"""

TAKE_BACK = """
WITH lost AS (
    SELECT workspace_id, id FROM jobs WHERE state = 'running' AND leased_until < now() AND queue = ANY($1::text[])
    ORDER BY leased_until LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE jobs j SET worker = NULL, leased_until = NULL, last_error = $2,
    state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
    run_at = now() + make_interval(secs => 2 ^ least(attempts - 1, 9) - 1)
FROM lost WHERE j.workspace_id = lost.workspace_id AND j.id = lost.id RETURNING j.state
"""
