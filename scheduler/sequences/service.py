"""Writing sequences: a draft that anybody may change, versions that nobody can."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.audit import service as audit
from inbox.conversations import starting_rows
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.errors import Conflict, Fault, Invalid, NotFound
from inbox.kernel.ids import new_id
from inbox.kernel.versions import VersionChanged
from inbox.messages.composing import media_ids
from scheduler.sequences import events
from scheduler.sequences import repository as rows
from scheduler.sequences.definition import Definition, StepIn
from scheduler.sequences.schemas import SequenceCounts, SequenceIn, SequencePatch, SequenceView, VersionView

SUBJECT: Final = "sequence"
KEPT: Final = timedelta(days=3 * 365)
"""How long files of a version are kept from its publishing on, whatever the retention of its channels."""


class SequenceUnknown(NotFound):
    code = "sequence_not_found"


class SequenceState(Conflict):
    """``state`` is the one it is in."""

    code, title = "sequence_state", "The state of the sequence does not allow this"


class Files(Protocol):
    """Our stored files, as far as a sequence needs them."""

    async def outgoing(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], *, caller: Principal | None
    ) -> Mapping[UUID, object]: ...

    async def keep_until(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], until: datetime
    ) -> bool: ...


class Sequences:
    def __init__(self, database: Database, files: Files, kinds: Collection[str]) -> None:
        """``kinds``: of channels, that this installation has."""
        self._database = database
        self._files = files
        self._kinds = kinds

    # --- reading ------------------------------------------------------------------------------------------------------

    async def page(
        self, caller: Principal, *, states: Sequence[str], after: UUID | None, limit: int
    ) -> list[SequenceView]:
        caller.require("sequences.read")
        async with self._database.transaction(readonly=True) as unit:
            return await rows.page(unit, caller.workspace_id, states=states, after=after, limit=limit)

    async def read(self, caller: Principal, sequence_id: UUID) -> SequenceView:
        """Raises ``SequenceUnknown``."""
        caller.require("sequences.read")
        async with self._database.transaction(readonly=True) as unit:
            return await get(unit, caller, sequence_id)

    async def versions(self, caller: Principal, sequence_id: UUID) -> list[VersionView]:
        caller.require("sequences.read")
        async with self._database.transaction(readonly=True) as unit:
            await get(unit, caller, sequence_id)
            return await rows.versions(unit, caller.workspace_id, sequence_id)

    async def counts(self, caller: Principal, sequence_id: UUID) -> SequenceCounts:
        """Counts every row of the sequence."""
        caller.require("sequences.read")
        async with self._database.snapshot() as unit:
            sequence = await get(unit, caller, sequence_id)
            keys: list[str] = []
            if sequence.published is not None:
                stored = await rows.definition(unit, caller.workspace_id, sequence_id, sequence.published)
                keys = [step["key"] for step in stored["steps"]]
            return await rows.counts(unit, caller.workspace_id, sequence_id, keys)

    # --- writing ------------------------------------------------------------------------------------------------------

    async def create(self, caller: Principal, given: SequenceIn) -> SequenceView:
        caller.require("sequences.write")
        async with self._database.transaction() as unit:
            draft = given.draft.stored()
            made = await rows.insert(unit, caller.workspace_id, new_id(), given.name, draft, caller.agent_id)
            unit.record(events.created(caller.workspace_id, made))
            await audit.record(unit, caller.workspace_id, caller, "sequence.created", SUBJECT, made.id)
        return made

    async def change(
        self, caller: Principal, sequence_id: UUID, patch: SequencePatch, *, version: int | None
    ) -> SequenceView:
        """Of the name and the draft; whoever runs on a version does not notice. Raises ``SequenceUnknown``,
        ``VersionChanged``."""
        caller.require("sequences.write")
        async with self._database.transaction() as unit:
            sequence = await self._lock(unit, caller, sequence_id, version)
            fields: dict[str, object] = {}
            if patch.name is not None and patch.name != sequence.name:
                fields["name"] = patch.name
            if patch.draft is not None and patch.draft.stored() != sequence.draft:
                fields |= {"draft": patch.draft.stored(), "changed": True}
            if not fields:
                return sequence
            return await self._update(unit, caller, sequence_id, fields, "changed")

    async def publish(self, caller: Principal, sequence_id: UUID, *, version: int | None) -> SequenceView:
        """Make the draft the next version; it is active then. One that says nothing new is not published twice.

        Raises ``SequenceUnknown``, ``SequenceState``, ``VersionChanged``, ``Invalid``.
        """
        caller.require("sequences.write")
        async with self._database.transaction() as unit:
            sequence = await self._lock(unit, caller, sequence_id, version)
            if sequence.state == "active" and not sequence.changed:
                return sequence
            definition = Definition.model_validate(sequence.draft)
            await self._check(unit, caller, definition)
            number = (sequence.published or 0) + 1 if sequence.changed else sequence.published or 1
            if sequence.changed:
                await rows.insert_version(
                    unit, caller.workspace_id, sequence_id, number, definition.stored(), caller.agent_id, caller.name
                )
            fields = {"state": "active", "published": number, "changed": False}
            return await self._update(unit, caller, sequence_id, fields, "published", number=number)

    async def archive(self, caller: Principal, sequence_id: UUID, *, version: int | None) -> SequenceView:
        """Take nobody in any more, and stop whoever is in it when their next step comes up."""
        caller.require("sequences.write")
        async with self._database.transaction() as unit:
            sequence = await self._lock(unit, caller, sequence_id, version)
            if sequence.state == "archived":
                return sequence
            return await self._update(unit, caller, sequence_id, {"state": "archived"}, "archived")

    async def _lock(self, unit: UnitOfWork, caller: Principal, sequence_id: UUID, version: int | None) -> SequenceView:
        sequence = await get(unit, caller, sequence_id, lock="UPDATE")
        if version is not None and version != sequence.version:
            raise VersionChanged("the sequence has changed since you read it", version=sequence.version)
        return sequence

    async def _update(
        self,
        unit: UnitOfWork,
        caller: Principal,
        sequence_id: UUID,
        fields: dict[str, object],
        action: str,
        **detail: object,
    ) -> SequenceView:
        changed = await rows.update(unit, caller.workspace_id, sequence_id, fields)
        unit.record(events.updated(caller.workspace_id, changed))
        await audit.record(unit, caller.workspace_id, caller, f"sequence.{action}", SUBJECT, sequence_id, detail)
        return changed

    async def _check(self, unit: UnitOfWork, caller: Principal, definition: Definition) -> None:
        """What can be known before anybody gets it: there is a step, its channels and files are there."""
        if not definition.steps:
            raise Invalid.at("/body/draft/steps", "a sequence needs a step to be published")
        wanted = {choice.channel_id for step in definition.steps for choice in step.channels if choice.channel_id}
        missing = wanted - await starting_rows.known_channels(unit, caller.workspace_id, wanted)
        files = {media_id for step in definition.steps for media_id in _files(step)}
        sendable = await self._files.outgoing(unit, caller.workspace_id, files, caller=caller)
        faults = [
            Fault(f"/body/draft/steps/{n}/channels", "there is no such channel")
            for n, step in enumerate(definition.steps)
            if any(choice.channel_id in missing for choice in step.channels)
        ]
        faults += [
            Fault(f"/body/draft/steps/{n}/channels/{m}/kind", "there is no such kind of channel", "unknown_kind")
            for n, step in enumerate(definition.steps)
            for m, choice in enumerate(step.channels)
            if choice.kind is not None and choice.kind not in self._kinds
        ]
        faults += [
            Fault(f"/body/draft/steps/{n}", "there is no such file to send", "media_unknown")
            for n, step in enumerate(definition.steps)
            if _files(step) - sendable.keys()
        ]
        if faults:
            raise Invalid(faults)
        if not await self._files.keep_until(unit, caller.workspace_id, files, datetime.now(UTC) + KEPT):
            raise Contended("a file was deleted by another transaction")


def _files(step: StepIn) -> set[UUID]:
    return media_ids([*step.parts, *([] if step.fallback is None else [step.fallback])])


async def get(unit: UnitOfWork, caller: Principal, sequence_id: UUID, *, lock: str = "") -> SequenceView:
    """Raises ``SequenceUnknown``."""
    found = await rows.find(unit, caller.workspace_id, sequence_id, lock=lock)
    if found is None:
        raise SequenceUnknown("there is no such sequence")
    return found
