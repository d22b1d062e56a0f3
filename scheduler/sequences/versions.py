"""Moving a running enrollment to another version of its sequence.

Invariant: a step that was sent, tried or skipped under one version is not given again under another; steps are known by
their keys.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inbox.kernel.database import UnitOfWork
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences.walking import Round, Run, Walking


def place_in(keys: Sequence[str], following: str | None, last: str | None, position: int, done: Collection[str]) -> int:
    """Where somebody goes on in a version with these steps. Pure.

    ``following``: the step that would come next in the version they are on; else they go on behind ``last``, the one
    they got; else at ``position``. Steps that they got are passed over.
    """
    if following is not None and following in keys:
        start = keys.index(following)
    elif last is not None and last in keys:
        start = keys.index(last) + 1
    else:
        start = min(position, len(keys))
    while start < len(keys) and keys[start] in done:
        start += 1
    return start


async def move_to(unit: UnitOfWork, walking: Walking, around: Round, run: Run, number: int) -> None:
    """The row is locked, and no message of it is on its way. Its due time stays what it is."""
    row = run.row
    steps = (await rows.steps_of(unit, around.workspace_id, [row.id])).get(row.id, [])
    following = None if run.step is None else run.step.key
    done = {step.step_key for step in steps if step.step_key != following}
    last = next((step.step_key for step in reversed(steps) if step.step_key != following), None)
    run.definition = await walking.definition(unit, around, row.sequence_id, number)
    keys = [step.key for step in run.definition.steps]
    position = place_in(keys, following, last, row.position, done)
    row.sequence_version = number
    if position < len(keys) and keys[position] == following:
        row.position = position  # the same step: its tries go on counting
    else:
        row.go_to(position)
