"""From addresses in a webhook to one contact, for a whole batch, safe against any number of nodes at once.

Invariant: an address belongs to exactly one identity (``addresses`` primary key), so two nodes that meet the same new
person at the same instant cannot both create them: the claim of the loser waits for the winner's commit, comes back
empty, and ``Contended`` makes the caller run its transaction again, which now finds the winner's rows.

Addresses first met apart and now seen together join their identities, and their contacts, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from channels.types import Address, Person
from contacts import blocks, events, moves, reach_rows
from contacts import repository as rows
from contacts.repository import KnownAddress, NewIdentity
from contacts.schemas import ContactView
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class Sighting:
    """A person as a channel of kind ``provider`` describes them."""

    provider: str
    person: Person
    creates: bool = True
    """Whether a stranger becomes a contact; a receipt only adds what it reveals about people we know."""
    at: datetime | None = None
    """The provider's time: whoever speaks under an address that was given up before is somebody else. ``None``: it
    speaks of whoever had the address last."""
    former: tuple[Address, ...] = ()
    """Those of the addresses that are the person's no longer."""


@dataclass(frozen=True, slots=True)
class Resolution:
    identity_id: UUID
    contact_id: UUID
    blocked: bool
    unreachable: str | None = None
    created: bool = False


OnJoin = Callable[[UnitOfWork, UUID, UUID, Sequence[UUID]], Awaitable[None]]
"""Called with (unit, workspace, surviving identity, identities that became it): threads above have to follow."""


@dataclass(slots=True)
class _Group:
    """Sightings that share addresses, and the identities those addresses have so far."""

    sightings: list[int]
    addresses: dict[Address, None]
    known: dict[UUID, KnownAddress]


class Resolver:
    def __init__(self, on_join: OnJoin) -> None:
        self._on_join = on_join

    async def resolve(
        self, unit: UnitOfWork, workspace_id: UUID, sightings: Sequence[Sighting]
    ) -> list[Resolution | None]:
        """One resolution per sighting, in order; ``None`` where nobody is known or made.

        Raises ``Contended`` when another transaction claimed an address meanwhile: run the transaction again.
        """
        if not sightings:
            return []
        wanted = sorted(
            {address for sighting in sightings for address in sighting.person.addresses},
            key=lambda address: (address.kind, address.scope, address.value),
        )
        # What a blocked contact sends is set aside: who stores a message must not have their answer change meanwhile.
        hold = any(sighting.creates for sighting in sightings)
        known = await rows.find_addresses(unit, workspace_id, wanted, hold=hold)
        recycled = _recycled(sightings, known)
        for address in recycled:
            del known[address]
        groups = [
            group
            for group in _group(sightings, known)
            if group.known or any(sightings[index].creates for index in group.sightings)
        ]
        await self._claim(unit, workspace_id, groups, sightings, known, recycled)
        found: list[Resolution | None] = [None] * len(sightings)
        changed: dict[UUID, None] = {}
        for group in groups:
            resolution = await self._settle(unit, workspace_id, group, sightings, known, changed)
            for index in group.sightings:
                found[index] = resolution
        for contact in await rows.views(unit, workspace_id, list(changed)):
            unit.record(events.updated(workspace_id, contact))
        return found

    async def _claim(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        groups: Sequence[_Group],
        sightings: Sequence[Sighting],
        known: dict[Address, KnownAddress],
        recycled: Collection[Address],
    ) -> None:
        """Take every unknown address for its group's identity, and write the people nobody knew."""
        claims: list[tuple[Address, UUID]] = []
        newcomers: list[NewIdentity] = []
        for group in groups:
            fresh = [address for address in group.addresses if address not in known]
            if not group.known:
                sighting = sightings[group.sightings[0]]
                newcomer = NewIdentity(new_id(), new_id(), sighting.provider, _merged_person(group, sightings))
                newcomers.append(newcomer)
                group.known[newcomer.identity_id] = KnownAddress(
                    newcomer.identity_id, newcomer.contact_id, None, None, None, None, blocked=False, created=True
                )
            identity_id = min(group.known)
            claims += [(address, identity_id) for address in fresh]
        claims.sort(key=lambda claim: (claim[0].kind, claim[0].scope, claim[0].value))
        if released := [address for address, _ in claims if address in recycled]:
            await moves.release(unit, workspace_id, released)
        won, contacts = 0, list[ContactView]()
        if newcomers:
            won, contacts = await rows.insert_people(unit, workspace_id, newcomers, claims)
        elif claims:
            won = await rows.claim_addresses(unit, workspace_id, claims)
        if won != len(claims):
            raise Contended("an address was claimed by another transaction")
        for contact in contacts:
            unit.record(events.created(workspace_id, contact))

    async def _settle(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        group: _Group,
        sightings: Sequence[Sighting],
        known: Mapping[Address, KnownAddress],
        changed: dict[UUID, None],
    ) -> Resolution:
        """Join what turned out to be one person, and take over what the channel says about them."""
        survivor = group.known[min(group.known)]
        if len(group.known) > 1:
            survivor = await self._join(unit, workspace_id, group)
        if not survivor.created:
            person = _merged_person(group, sightings)
            if await rows.refresh_identity(unit, workspace_id, survivor, person):
                changed[survivor.contact_id] = None
            phone = _new_phone(group, sightings, known, survivor, person.phone)
            if phone is not None and await moves.follow_phone(
                unit, workspace_id, survivor.contact_id, survivor.identity_id, phone
            ):
                changed[survivor.contact_id] = None
        for index in group.sightings:
            sighting = sightings[index]
            if sighting.former and sighting.at is not None:
                current = [address for address in sighting.person.addresses if address not in sighting.former]
                await moves.retire(unit, workspace_id, survivor.identity_id, sighting.former, current, sighting.at)
        return Resolution(
            survivor.identity_id, survivor.contact_id, survivor.blocked, survivor.unreachable, survivor.created
        )

    async def _join(self, unit: UnitOfWork, workspace_id: UUID, group: _Group) -> KnownAddress:
        """Make the oldest identity the only one. Identity ids are time-ordered, so every node picks the same."""
        ids = sorted(group.known)
        if await rows.lock_identities(unit, workspace_id, ids) != len(ids):
            raise Contended("an identity was joined by another transaction")
        survivor, losers = group.known[ids[0]], ids[1:]
        other_contacts = sorted({group.known[loser].contact_id for loser in losers} - {survivor.contact_id})
        await rows.move_addresses(unit, workspace_id, losers, survivor.identity_id)
        contacts = [survivor.contact_id, *other_contacts]
        blocked = await blocks.lock_blocked(unit, workspace_id, contacts)
        for other in other_contacts:
            view = await rows.absorb_contact(unit, workspace_id, survivor.contact_id, other)
            unit.record(events.merged(workspace_id, view, other))
            if view.blocked is not None and not {survivor.contact_id, other} <= blocked:
                # The one who was not blocked is, from here on.
                unit.record(events.blocked(workspace_id, view))
                blocked |= {survivor.contact_id, other}
        await self._on_join(unit, workspace_id, survivor.identity_id, losers)
        await blocks.inherit_provider_blocks(unit, workspace_id, losers, survivor.identity_id)
        reach = await reach_rows.inherit_stop(unit, workspace_id, losers, survivor.identity_id)
        if reach is not None:
            unit.record(events.reachability(workspace_id, reach))
        await rows.delete_identities(unit, workspace_id, losers)
        return KnownAddress(
            survivor.identity_id,
            survivor.contact_id,
            survivor.name,
            survivor.username,
            survivor.language,
            survivor.contact_name,
            blocked=bool(blocked),
            unreachable=survivor.unreachable,
            phone=survivor.phone,
        )


def _recycled(sightings: Sequence[Sighting], known: Mapping[Address, KnownAddress]) -> list[Address]:
    """Known addresses under which somebody speaks after they were given up."""
    found: dict[Address, None] = {}
    retired = {address: one.retired_at for address, one in known.items() if one.retired_at is not None}
    if retired:
        for sighting in sightings:
            for address in sighting.person.addresses:
                given_up = retired.get(address)
                if given_up and sighting.at and given_up < sighting.at and address not in sighting.former:
                    found[address] = None
    return list(found)


def _new_phone(
    group: _Group,
    sightings: Sequence[Sighting],
    known: Mapping[Address, KnownAddress],
    survivor: KnownAddress,
    phone: str | None,
) -> str | None:
    """The number from now on, where this is news: webhooks come again, and late, and must not bring an old one back."""
    if phone is None or phone == survivor.phone:
        return None
    if any(known[address].retired_at for address in group.addresses if address in known and phone == _e164(address)):
        return None
    fresh = any(address not in known and phone == _e164(address) for address in group.addresses)
    moved = any(sightings[index].former for index in group.sightings)
    return phone if survivor.phone is None or fresh or moved else None


def _e164(address: Address) -> str:
    return f"+{address.value}"


def _group(sightings: Sequence[Sighting], known: dict[Address, KnownAddress]) -> list[_Group]:
    """Connected components: sightings are linked by a shared address, or by addresses of one identity."""
    by_address: dict[Address, _Group] = {}
    by_identity: dict[UUID, _Group] = {}
    groups: dict[int, _Group] = {}
    for index, sighting in enumerate(sightings):
        if not sighting.person.addresses:
            continue
        group = _Group([index], {}, {})
        groups[id(group)] = group
        for address in sighting.person.addresses:
            identity = known.get(address)
            if (other := by_address.get(address)) is not None and other is not group:
                _absorb(groups.pop(id(other)), group, by_address, by_identity)
            # Looked up only now: it was often the same group, and is ours by then.
            if identity and (other := by_identity.get(identity.identity_id)) is not None and other is not group:
                _absorb(groups.pop(id(other)), group, by_address, by_identity)
            group.addresses[address] = None
            by_address[address] = group
            if identity is not None:
                group.known[identity.identity_id] = identity
                by_identity[identity.identity_id] = group
    return list(groups.values())


def _absorb(other: _Group, group: _Group, by_address: dict[Address, _Group], by_identity: dict[UUID, _Group]) -> None:
    group.sightings = other.sightings + group.sightings
    group.addresses.update(other.addresses)
    group.known.update(other.known)
    for address in other.addresses:
        by_address[address] = group
    for identity_id in other.known:
        by_identity[identity_id] = group


def _merged_person(group: _Group, sightings: Sequence[Sighting]) -> Person:
    """What the batch says in all; the latest word on each field wins."""
    people = [sightings[index].person for index in group.sightings]
    if len(people) == 1:
        return people[0]
    newest = people[::-1]

    def latest(field: str) -> str | None:
        return next((value for person in newest if (value := getattr(person, field)) is not None), None)

    return Person(
        addresses=tuple(group.addresses),
        name=latest("name"),
        first_name=latest("first_name"),
        last_name=latest("last_name"),
        username=latest("username"),
        language=latest("language"),
        phone=latest("phone"),
        avatar_url=latest("avatar_url"),
        is_group=people[0].is_group,
    )
