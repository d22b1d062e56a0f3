"""The stage on which the four providers play: world, faults, outbox, links, and the rule for receipts.

A provider's voice turns acts into webhook items; its API calls ``accepted`` once a message of the business is in.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

import aiohttp

from channels.simulator import wire
from channels.simulator.faults import Faults
from channels.simulator.outbox import Outbox
from channels.simulator.posts import Event, Part
from channels.simulator.samples import MEDIA_TYPES, sample
from channels.simulator.schemas import CustomerRef, NativeWish, SayWish
from channels.simulator.world import DAY, Account, Customer, Kind, Media, Message, Status, World
from channels.types import JsonObject, JsonValue


class SayError(ValueError):
    """The channel has no such act."""


class Voice(Protocol):
    """One provider's way of telling the business what happened."""

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        """The customer acts. Raises ``SayError`` when this channel has no such act."""
        ...

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        """The business writes in the provider's own app."""
        ...

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None: ...

    def stages(self, message: Message) -> tuple[Status, ...]:
        """The receipts which this channel gives for a message, in their natural order."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """One API call as ``GET /control/requests`` shows it; tokens left out."""

    at: float
    account_id: str | None
    method: str
    path: str
    fields: JsonObject
    status: int
    answer: JsonValue = field(default=None)


class Simulation:
    def __init__(
        self,
        *,
        base_url: str,
        seed: int = 0,
        concurrency: int = 40,
        retry_scale: float = 1.0,
        fetch_links: bool = True,
        loopback_webhooks: bool = True,
        world: World | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.chance = random.Random(seed)  # noqa: S311 - repeatable mishaps, not secrets
        self.world = world or World()
        self.faults = Faults(self.chance)
        self.outbox = Outbox(self.world, self.faults, self.chance, concurrency=concurrency, retry_scale=retry_scale)
        self.fetch_links = fetch_links
        self.loopback_webhooks = loopback_webhooks
        """Telegram's rules for webhook addresses do not hold for this machine itself."""
        self.exchanges: deque[Exchange] = deque(maxlen=1000)
        self.voices: dict[Kind, Voice] = {}
        self.listeners: list[Callable[[Account, Customer, Message], None]] = []
        """Told of every message of the business that reached its customer."""
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        await self.outbox.start()

    async def reset(self) -> None:
        """As after a start, on the same port."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.faults.lift()
        self.exchanges.clear()
        self.world.reset()
        await self.outbox.reset()

    async def stop(self) -> None:
        await self.reset()
        await self.outbox.stop()
        if self._session is not None:
            await self._session.close()

    # --- Customers ----------------------------------------------------------------------------------------------------

    def meet(self, account: Account, reference: CustomerRef) -> Customer:
        """The customer meant, made when new; what the reference tells is taken over."""
        phone = reference.phone.lstrip("+") if reference.phone else None
        keys = (reference.id, phone, reference.bsuid, reference.username, reference.name)
        # A name alone may find somebody; with a stronger key it must not join two people of one name.
        strong = [key for key in keys[:4] if key]
        for key in strong or [key for key in keys[4:] if key]:
            found = account.find_customer(key)
            if found is not None:
                return self._update(account, found, reference, phone)
        return self.world.add_customer(account, _new_customer(account, reference, phone))

    def group_of(self, account: Account, wish: SayWish) -> Customer | None:
        """The group which the wish speaks in. It is listed among the customers: it can be written to."""
        if wish.group is None:
            return None
        _check_id(account, wish.group.id)
        known = account.customers.get(wish.group.id)
        return known or self.world.add_customer(account, Customer(wish.group.id, wish.group.title, is_group=True))

    def _update(self, account: Account, customer: Customer, reference: CustomerRef, phone: str | None) -> Customer:
        customer.name = reference.name or customer.name
        customer.username = reference.username or customer.username
        customer.language = reference.language or customer.language
        customer.phone = phone or customer.phone
        customer.bsuid = reference.bsuid or customer.bsuid
        customer.parent_bsuid = reference.parent_bsuid or customer.parent_bsuid
        if reference.hide_phone is not None:
            customer.hide_phone = reference.hide_phone
        if reference.bsuid_in_from is not None:
            customer.bsuid_in_from = reference.bsuid_in_from
        self.world.index(account, customer)
        return customer

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def emit(
        self,
        account: Account,
        customer: Customer,
        kind: str,
        item: JsonObject,
        *,
        part: Part,
        receipt: bool = False,
        after: float = 0.0,
        topic: str | None = None,
    ) -> None:
        """``topic`` is the webhook field by which a Page or Instagram account subscribes."""
        chosen = account.meta.subscribed_fields
        if account.subscribed and (topic is None or chosen is None or topic in chosen):
            self.outbox.enqueue(Event(account, customer.id, kind, item, part, receipt), after)

    def announce(self, account: Account, kind: str, item: JsonObject, *, part: Part) -> None:
        """A webhook about the account itself, in a lane of its own."""
        if account.subscribed:
            self.outbox.enqueue(Event(account, "", kind, item, part), 0.0)

    def accepted(self, account: Account, customer: Customer, message: Message) -> None:
        """The provider took a message of the business: remember it, tell those who listen, give receipts."""
        self.world.add_message(account, customer, message)
        for listener in self.listeners:
            listener(account, customer, message)
        policy = account.receipts or self.world.receipts
        if not policy.auto and message.error_code is None:
            return
        voice = self.voices[account.kind]
        stages = voice.stages(message)
        delays: dict[Status, float] = {
            "sent": 0.0,
            "delivered": policy.delivered_after,
            "read": policy.read_after,
            "played": policy.read_after,
            "failed": policy.delivered_after,
        }
        due = [delays[stage] for stage in stages]
        order = stages
        if policy.order == "reversed":
            order = stages[::-1]
        elif policy.order == "read_first" and "read" in stages:
            order = ("read", *(stage for stage in stages if stage != "read"))
        for stage, wait in zip(order, due, strict=True):
            if wait > 0:
                self.outbox.later(wait, lambda stage=stage: voice.receipt(account, customer, message, stage))  # type: ignore[misc]
            else:
                voice.receipt(account, customer, message, stage)

    def heard(self, account: Account, customer: Customer, message: Message, *, opens: bool = True) -> Message:
        """A customer's message is in: it is in the thread, and it ``opens`` the messaging window."""
        if opens:
            customer.wrote_at = max(customer.wrote_at or 0.0, message.at)
        customer.started = True
        return self.world.add_message(account, customer, message)

    # --- Media and links ----------------------------------------------------------------------------------------------

    def media_of(self, account: Account, wish: SayWish) -> Media:
        """The file which a customer sends: what the wish holds, or a small sample of its kind."""
        mime_type, extension = MEDIA_TYPES[wish.kind]
        try:
            data = base64.b64decode(wish.data, validate=True) if wish.data is not None else sample(wish.kind)
        except binascii.Error:
            raise SayError("data is not base64") from None
        filename = wish.filename or f"{wish.kind}.{extension}"
        return self.world.add_media(account, wish.kind, wish.mime_type or mime_type, filename, data, life=7 * DAY)

    def download_link(self, account: Account, media: Media) -> str:
        """A WhatsApp link: asks for the token once more, and dies soon."""
        expires = int(self.world.now()) + account.meta.link_seconds
        return f"{self.base_url}/media-download/{media.id}/{expires}/{media.ticket}"

    def link(self, media: Media) -> str:
        """A CDN link that needs no token, as Messenger and Instagram give."""
        return f"{self.base_url}/cdn/{media.id}/{media.ticket}/{quote(media.filename)}"

    async def fetch(self, url: str, limit: int = 20 * 1024 * 1024) -> tuple[bytes, str] | None:
        """The body and mime type behind a link in a send; ``None`` when it cannot be had."""
        if not self.fetch_links or self._session is None:
            return b"", "application/octet-stream"
        try:
            async with self._session.get(url) as answer:
                if answer.status != 200:
                    return None
                body = bytearray()
                # One read answers with what has come so far, which of a large file is its beginning.
                while len(body) < limit and (chunk := await answer.content.read(limit - len(body))):
                    body += chunk
                return bytes(body), answer.content_type
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def handshake(self, url: str, verify_token: str) -> str | None:
        """Meta's check of a callback. ``None`` when it is passed, else what was wrong."""
        assert self._session is not None
        challenge = str(secrets.randbelow(2**31))
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
        try:
            async with self._session.get(url, params=query) as answer:
                body = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"the callback could not be reached ({type(error).__name__})"
        if answer.status != 200:
            return f"the callback answered {answer.status}"
        return None if body == challenge else "the callback did not answer the bare challenge"

    def background(self, work: asyncio.Task[None]) -> None:
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    def record(
        self, account: Account | None, method: str, path: str, fields: Mapping[str, JsonValue], status: int,
        answer: JsonValue,
    ) -> None:  # fmt: skip
        account_id = account.account_id if account else None
        self.exchanges.append(Exchange(self.world.now(), account_id, method, path, dict(fields), status, answer))


def _check_id(account: Account, given: str) -> None:
    if account.kind == "telegram" and not given.removeprefix("-").isdecimal():
        raise SayError("Telegram ids are numbers")


def _new_customer(account: Account, reference: CustomerRef, phone: str | None) -> Customer:
    if reference.id:
        _check_id(account, reference.id)
    name = reference.name or "Ann Example"
    customer = Customer(
        id=reference.id or "",
        name=name,
        username=reference.username,
        phone=phone,
        bsuid=reference.bsuid,
        language=reference.language or "en",
        hide_phone=bool(reference.hide_phone),
        parent_bsuid=reference.parent_bsuid,
        bsuid_in_from=bool(reference.bsuid_in_from),
    )
    if account.kind != "whatsapp":
        customer.id = customer.id or wire.digits_id(10 if account.kind == "telegram" else 16)
        return customer
    if customer.id and not customer.phone and customer.id.isdigit():
        customer.phone = customer.id
    if not customer.id and not customer.phone and not customer.bsuid:
        customer.phone = "1555" + wire.digits_id(7)
    customer.bsuid = customer.bsuid or f"US.{wire.digits_id(18)}"
    customer.id = customer.id or customer.phone or customer.bsuid
    return customer
