"""Storing what came in, a batch at a time and set-based.

Invariant: running the same items again changes nothing (P2). ``UNIQUE (channel, external id)`` decides what is new; the
row locks of the conversations, taken in the order of their ids, serialise writers; whatever another transaction did
meanwhile shows as ``Contended`` and the caller runs the whole transaction again.

Order of locks: addresses, identities, conversations, messages, and the log's counter last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

import orjson

from channels.content import ChoicePart
from channels.inbound import (
    ChannelNotice,
    IdentityChanged,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    PersonNamed,
    PreferenceChanged,
    ReachabilityChanged,
    ReactionChanged,
    StatusReported,
    StatusUpTo,
    UnsupportedEvent,
)
from channels.types import Person
from contacts import reach_rows
from contacts.resolution import Resolution, Resolver, Sighting
from inbox.connections.directory import Channel
from inbox.conversations import events as thread_events
from inbox.conversations import repository as thread_rows
from inbox.conversations.profiles import ProfileRequests
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, note_message, open_window, retell, touch
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.ids import new_id
from inbox.media.attachments import Attachments
from inbox.media.repository import NewMedia
from inbox.messages import arrival_rows, events, notice_rows, reconciliation
from inbox.messages import repository as rows
from inbox.messages.arrival_rows import NewMessage
from inbox.messages.channel_news import ChannelNews
from inbox.messages.consequences import Consequences
from inbox.messages.preview import UNSENT, preview_of
from inbox.messages.receipts import Receipts
from inbox.messages.repository import ExternalRef
from inbox.messages.responders import NoResponders, Responders, Takers, begins
from inbox.messages.revisions import Revisions
from inbox.messages.set_aside import SetAside
from inbox.messages.set_aside_rows import NewAside, find_known

AT_A_STRETCH = 16
"""Messages prepared before others of the process have their turn: a batch must not delay those who wait for answers."""


@dataclass(frozen=True, slots=True)
class Item:
    """One parsed item with the channel that it belongs to, and when we accepted it."""

    channel: Channel
    inbound: Inbound
    accepted_at: datetime


class TargetUnknown(Exception):
    """An edit, unsend or reaction for a message that is not here (yet): worth another try a little later."""


@dataclass(slots=True)
class _Batch:
    unit: UnitOfWork
    workspace_id: UUID
    items: Sequence[Item]
    people: dict[int, Resolution] = field(default_factory=dict)
    """By index of the item."""
    known: dict[tuple[UUID, str], ExternalRef] = field(default_factory=dict)
    aside: dict[tuple[UUID, str], UUID] = field(default_factory=dict)
    """What was set aside, by the provider's id."""
    threads: dict[tuple[UUID, UUID], Thread] = field(default_factory=dict)
    by_id: dict[UUID, Thread] = field(default_factory=dict)
    new: list[NewMessage] = field(default_factory=list)
    new_aside: list[NewAside] = field(default_factory=list)
    media: list[NewMedia] = field(default_factory=list)
    takers: Takers = field(default_factory=NoResponders)

    def is_here(self, item: Item, external_id: str) -> bool:
        return (item.channel.id, external_id) in self.known or (item.channel.id, external_id) in self.aside


class Receiver:
    """``tapped`` hears, after the commit, of taps that the provider wants acknowledged."""

    def __init__(
        self,
        resolver: Resolver,
        conversations: Conversations,
        attachments: Attachments,
        profiles: ProfileRequests,
        tapped: Callable[[Channel, str], None],
        news: ChannelNews,
        consequences: Consequences,
        responders: Responders | None = None,
    ) -> None:
        self._resolver = resolver
        self._conversations = conversations
        self._attachments = attachments
        self._profiles = profiles
        self._tapped = tapped
        self._news = news
        self._responders = responders or NoResponders()
        self._revisions = Revisions(attachments)
        self._set_aside = SetAside(attachments)
        self._receipts = Receipts(consequences)

    async def receive(self, unit: UnitOfWork, workspace_id: UUID, items: Sequence[Item]) -> None:
        """Store the items of one workspace, in order. Raises ``Contended``, ``TargetUnknown``."""
        batch = _Batch(unit, workspace_id, items, takers=self._responders.takers(unit, workspace_id))
        await self._resolve(batch)
        there = await find_known(unit, workspace_id, _external_ids(items))
        batch.known, batch.aside = there.shown, there.aside
        batch.known.update(await rows.find_in_albums(unit, workspace_id, _unknown_targets(batch)))
        await self._lock(batch, await rows.conversations_of_deliveries(unit, workspace_id, _correlations(batch)))
        await _look_again(batch)
        for index, item in enumerate(items):
            if isinstance(item.inbound, MessageReceived):
                await self._message(batch, index, item, item.inbound)
            if index % AT_A_STRETCH == AT_A_STRETCH - 1:
                await asyncio.sleep(0)
        if batch.new and await arrival_rows.insert_many(unit, workspace_id, batch.new) != len(batch.new):
            raise Contended("a message was stored by another transaction")
        await self._set_aside.store(unit, workspace_id, batch.new_aside)
        await self._attachments.expect(unit, workspace_id, batch.media)
        await self._revise(batch)
        await self._receive_receipts(batch)
        await self._conversations.save(unit, workspace_id, list(batch.by_id.values()))
        await self._news.apply(unit, [(item.channel, item.inbound) for item in items])

    async def _resolve(self, batch: _Batch) -> None:
        sightings, indices = [], []
        for index, item in enumerate(batch.items):
            sighting = _sighting(item)
            if sighting is not None:
                sightings.append(sighting)
                indices.append(index)
        resolved = await self._resolver.resolve(batch.unit, batch.workspace_id, sightings)
        batch.people = {
            index: resolution for index, resolution in zip(indices, resolved, strict=True) if resolution is not None
        }
        nameless: dict[UUID, Channel] = {}
        for index, sighting in zip(indices, sightings, strict=True):
            person = batch.people.get(index)
            if person is not None and person.created and sighting.person.name is None:
                nameless[person.identity_id] = batch.items[index].channel
        asked = [(channel, identity_id) for identity_id, channel in nameless.items()]
        await self._profiles.ask(batch.unit, batch.workspace_id, asked)

    async def _lock(self, batch: _Batch, reconciled: Collection[UUID]) -> None:
        """``reconciled``: conversations whose sends may be recognised by what we sent along."""
        wanted: dict[tuple[UUID, UUID], UUID] = {}
        ids: set[UUID] = set(reconciled)
        read: set[tuple[UUID, UUID]] = set()
        for index, item in enumerate(batch.items):
            inbound, person = item.inbound, batch.people.get(index)
            if isinstance(inbound, MessageReceived):
                if person is not None and not _aside(inbound, person) and not batch.is_here(item, inbound.external_id):
                    wanted[item.channel.id, person.identity_id] = person.contact_id
            elif isinstance(inbound, StatusReported | MessageEdited | MessageUnsent | ReactionChanged):
                if ref := batch.known.get((item.channel.id, inbound.external_id)):
                    ids.add(ref.conversation_id)
            elif isinstance(inbound, StatusUpTo) and person is not None:
                read.add((item.channel.id, person.identity_id))
        triples = [(channel_id, identity_id, contact_id) for (channel_id, identity_id), contact_id in wanted.items()]
        for thread in await self._conversations.open_for(batch.unit, batch.workspace_id, triples, ids, read):
            batch.threads[thread.channel_id, thread.identity_id] = thread
            batch.by_id[thread.id] = thread
        if not ids <= batch.by_id.keys():
            raise Contended("a conversation was joined by another transaction")

    async def _message(self, batch: _Batch, index: int, item: Item, inbound: MessageReceived) -> None:
        key = (item.channel.id, inbound.external_id)
        person = batch.people.get(index)
        if person is None or batch.is_here(item, inbound.external_id):
            return
        if person.unreachable is not None and inbound.echo is None:
            await self._revisions.reached(batch.unit, batch.workspace_id, person.identity_id)
        if _aside(inbound, person):
            aside, files = self._set_aside.prepare(item.channel, person.identity_id, inbound, item.accepted_at)
            batch.new_aside.append(aside)
            batch.media.extend(files)
            batch.aside[key] = aside.id
            return
        thread = batch.threads[item.channel.id, person.identity_id]
        if inbound.echo is not None and await reconciliation.recognise_echo(
            batch.unit, batch.workspace_id, thread, inbound
        ):
            return
        beginning = inbound.echo is None and begins(thread)
        message = self._new_message(batch, item, inbound, thread)
        batch.new.append(message)
        for part in inbound.parts:
            if isinstance(part, ChoicePart) and part.acknowledge is not None:
                batch.unit.after_commit(partial(self._tapped, item.channel, part.acknowledge))
        batch.known[key] = ExternalRef(item.channel.id, inbound.external_id, message.id, thread.id, None)
        await self._conversations.record_created(batch.unit, batch.workspace_id, thread)
        if beginning:
            await batch.takers.take(thread)
        conversation = thread_rows.view(thread, item.channel.window_hours)
        batch.unit.record(events.created(batch.workspace_id, arrival_rows.view(message), conversation))

    def _new_message(self, batch: _Batch, item: Item, inbound: MessageReceived, thread: Thread) -> NewMessage:
        outgoing = inbound.echo is not None
        direction = "out" if outgoing else "in"
        number = note_message(thread, direction=direction, preview=preview_of(inbound.parts), at=item.accepted_at)
        if inbound.opens_window and not outgoing:
            open_window(thread, inbound.occurred_at)
        if outgoing:
            thread.epoch += 1
        quoted = batch.known.get((item.channel.id, inbound.reply_to)) if inbound.reply_to else None
        author = inbound.author or inbound.peer
        message_id = new_id()
        described = self._attachments.describe(message_id, item.channel.id, inbound.parts)
        batch.media.extend(described.new)
        return NewMessage(
            id=message_id,
            conversation_id=thread.id,
            channel_id=item.channel.id,
            number=number,
            direction=direction,
            author_kind="native_app" if outgoing else "contact",
            author_id=None,
            author_name=None if outgoing else author.name or author.username,
            external_id=inbound.external_id,
            parts=encode(described.parts),
            status="sent" if outgoing else None,
            reply_to_external_id=inbound.reply_to,
            reply_to_id=None if quoted is None else quoted.message_id,
            forwarded=inbound.forwarded,
            referral=None if inbound.referral is None else orjson.dumps(inbound.referral),
            album=inbound.album,
            occurred_at=inbound.occurred_at,
            created_at=item.accepted_at,
            edited_at=inbound.edited_at,
        )

    async def _revise(self, batch: _Batch) -> None:
        """Edits, unsends, reactions and words about reachability: one by one, for they are few."""
        for index, item in enumerate(batch.items):
            inbound, person = item.inbound, batch.people.get(index)
            unit, workspace_id = batch.unit, batch.workspace_id
            if isinstance(inbound, MessageEdited | MessageUnsent | ReactionChanged):
                await self._revision(batch, item, inbound, person)
            elif isinstance(inbound, ReachabilityChanged) and person is not None:
                await self._revisions.reachability(unit, workspace_id, person.identity_id, inbound)
            elif isinstance(inbound, PreferenceChanged) and person is not None:
                await self._revisions.preference(unit, workspace_id, person.identity_id, inbound)
            elif isinstance(inbound, ChannelNotice):
                await notice_rows.keep(unit, workspace_id, item.channel.id, inbound.topic, inbound.data)
            elif isinstance(inbound, UnsupportedEvent) and not inbound.harmless:
                await notice_rows.keep(unit, workspace_id, item.channel.id, inbound.what, inbound.data)

    async def _revision(
        self,
        batch: _Batch,
        item: Item,
        inbound: MessageEdited | MessageUnsent | ReactionChanged,
        person: Resolution | None,
    ) -> None:
        unit, workspace_id, key = batch.unit, batch.workspace_id, (item.channel.id, inbound.external_id)
        if (aside_id := batch.aside.get(key)) is not None:
            await self._set_aside.revise(unit, workspace_id, item.channel, aside_id, inbound, item.accepted_at)
            return
        ref = batch.known.get(key)
        if ref is None:
            raise TargetUnknown("the message that this refers to is not here")
        thread = batch.by_id.get(ref.conversation_id)
        if isinstance(inbound, MessageUnsent):
            await self._set_aside.unsend(unit, workspace_id, ref.message_id, inbound.occurred_at)
        elif thread is not None and not inbound.by_business and await self._is_blocked(batch, thread, person):
            await self._set_aside.later_word(
                unit, workspace_id, item.channel, thread.identity_id, ref.message_id, inbound, item.accepted_at
            )
            return
        changed = await self._revisions.apply(unit, workspace_id, ref, inbound)
        if changed is not None and thread is not None and not isinstance(inbound, ReactionChanged):
            preview = UNSENT if isinstance(inbound, MessageUnsent) else preview_of(inbound.parts)
            if retell(thread, changed.number, preview, item.accepted_at):
                conversation = thread_rows.view(thread, item.channel.window_hours)
                unit.record(thread_events.updated(workspace_id, conversation))
        if isinstance(inbound, ReactionChanged) and inbound.opens_window and thread is not None:
            _opened_by_reaction(batch, item, thread, inbound.occurred_at)

    async def _is_blocked(self, batch: _Batch, thread: Thread, person: Resolution | None) -> bool:
        """Edits do not always say whose they are; the lock of the conversation holds off a block, too."""
        if person is not None:
            return person.blocked
        return (await reach_rows.reach(batch.unit, batch.workspace_id, thread.identity_id)).blocked

    async def _receive_receipts(self, batch: _Batch) -> None:
        reported: list[tuple[Channel, StatusReported]] = []
        watermarks: list[tuple[Thread, StatusUpTo]] = []
        for index, item in enumerate(batch.items):
            inbound = item.inbound
            if isinstance(inbound, StatusReported):
                reported.append((item.channel, inbound))
            elif isinstance(inbound, StatusUpTo) and (person := batch.people.get(index)) is not None:
                thread = batch.threads.get((item.channel.id, person.identity_id))
                if thread is not None:
                    watermarks.append((thread, inbound))
        await self._receipts.apply(batch.unit, batch.workspace_id, reported, watermarks, batch.known, batch.by_id)


async def _look_again(batch: _Batch) -> None:
    """For what is quoted: under the lock of the conversation no send can be recorded unseen (``reconciliation``)."""
    quoted = {
        (item.channel.id, item.inbound.reply_to)
        for item in batch.items
        if isinstance(item.inbound, MessageReceived)
        and item.inbound.reply_to
        and not batch.is_here(item, item.inbound.reply_to)
        and not batch.is_here(item, item.inbound.external_id)
    }
    found = await rows.find_external(batch.unit, batch.workspace_id, sorted(quoted))
    batch.known.update(found)
    batch.known.update(await rows.find_in_albums(batch.unit, batch.workspace_id, sorted(quoted - found.keys())))


def _unknown_targets(batch: _Batch) -> list[tuple[UUID, str]]:
    """What people react to and nobody knows: perhaps one of several files of an album. Edits and unsends of one such
    file are not what the whole message says, so they are not taken for it."""
    return [
        (item.channel.id, item.inbound.external_id)
        for item in batch.items
        if isinstance(item.inbound, ReactionChanged) and not batch.is_here(item, item.inbound.external_id)
    ]


def _sighting(item: Item) -> Sighting | None:
    """Whom the item speaks of. Receipts do not make strangers into contacts."""
    inbound = item.inbound
    match inbound:
        case MessageReceived(peer=person, occurred_at=at) | ReactionChanged(peer=person, occurred_at=at):
            return Sighting(item.channel.kind, person, at=at)
        case PersonNamed(peer=person, occurred_at=at):  # said once, maybe before anybody writes: kept for then
            return Sighting(item.channel.kind, person, at=at)
        case ReachabilityChanged(peer=person, occurred_at=at) | PreferenceChanged(peer=person, occurred_at=at):
            return Sighting(item.channel.kind, person, creates=False, at=at)
        case StatusUpTo(peer=person):
            return Sighting(item.channel.kind, person, creates=False)
        case StatusReported(peer=Person() as person) if len(person.addresses) > 1:
            return Sighting(item.channel.kind, person, creates=False)
        case IdentityChanged(old=old, new=new, phone=phone, occurred_at=at):
            person = Person(addresses=(*old, *new), phone=phone)
            former = tuple(address for address in old if address not in new)
            return Sighting(item.channel.kind, person, creates=False, at=at, former=former)
        case _:
            return None


def _aside(inbound: MessageReceived, person: Resolution) -> bool:
    """What the business itself wrote to somebody who is blocked, in the provider's own app, is shown all the same."""
    return person.blocked and inbound.echo is None


def _correlations(batch: _Batch) -> list[UUID]:
    """Deliveries that receipts name by the value we sent along, under an id of the provider that nobody knows yet."""
    return [
        correlation
        for item in batch.items
        if isinstance(item.inbound, StatusReported)
        and (item.channel.id, item.inbound.external_id) not in batch.known
        and (correlation := reconciliation.delivery_of(item.inbound.correlation)) is not None
    ]


def _external_ids(items: Sequence[Item]) -> list[tuple[UUID, str]]:
    wanted: dict[tuple[UUID, str], None] = {}
    for item in items:
        inbound = item.inbound
        if isinstance(inbound, MessageReceived | StatusReported | MessageEdited | MessageUnsent | ReactionChanged):
            wanted[item.channel.id, inbound.external_id] = None
        if isinstance(inbound, MessageReceived) and inbound.reply_to:
            wanted[item.channel.id, inbound.reply_to] = None
    return list(wanted)


def _opened_by_reaction(batch: _Batch, item: Item, thread: Thread, at: datetime) -> None:
    """A reaction opens the window as a message does, but no event of a message tells of the conversation."""
    if open_window(thread, at):
        touch(thread, item.accepted_at)
        conversation = thread_rows.view(thread, item.channel.window_hours)
        batch.unit.record(thread_events.updated(batch.workspace_id, conversation))
