"""The acts that Messenger's and Instagram's webhooks tell alike (facts, 2.2, 3.2). Each product adds its own.

A conversation that another app holds, or a wish that says so, comes as ``standby`` instead of ``messaging``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from channels.simulator import page_events
from channels.simulator.schemas import NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject, JsonValue

MEDIA_ATTACHMENTS = {"image": "image", "video": "video", "audio": "audio", "voice": "audio", "document": "file"}
"""Kind of an act → type of its attachment."""
_OPENING = frozenset({"message", "postback", "referral", "react", "raw"})
"""What opens the messaging window (facts, 2.4, 3.2)."""


class PageVoice(ABC):
    product: ClassVar[str]
    topics: ClassVar[Mapping[str, str]]
    """Kind of an event → webhook field by which it is subscribed."""
    start_title: ClassVar[str]
    referral_source: ClassVar[str]

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    # --- Customers ----------------------------------------------------------------------------------------------------

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        if wish.kind in ("block", "unblock"):
            customer.blocked = wish.kind == "block"  # no event exists for this (facts, 2.2)
            return None
        if customer.shut_out and wish.kind != "raw":
            return None  # the business has blocked them
        at = wish.at or self._simulation.world.now()
        target = account.find_message(customer.id, wish.message_id) if wish.message_id else None
        mid = self.new_mid()
        kind, content = self._act(account, customer, wish, target, mid)
        standby = wish.standby or customer.thread_owner is not None
        if standby and kind == "postback":
            raise SayError("a postback goes only to the app that sent the button, never to standby")
        item = content if kind == "raw" else page_events.from_customer(account, customer, at, content)
        if kind == "optin" and "user_ref" in page_events.optin_of(content):
            item["sender"] = {"user_ref": customer.user_ref}
        if kind == "message":
            self.before_message(account, customer, mid, at)
        self._emit(account, customer, kind, item, standby=standby)
        if kind in _OPENING or wish.kind == "reaction":
            customer.wrote_at = max(customer.wrote_at or 0.0, at)
        if kind not in ("message", "postback"):
            return None
        text = wish.text or wish.title
        message = Message(mid, customer.id, True, wish.kind, text, content, at, reply_to=wish.reply_to)
        return self._simulation.heard(account, customer, message)

    def _act(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None, mid: str
    ) -> tuple[str, JsonObject]:
        match wish.kind:
            case "raw":
                return "raw", dict(wish.raw or {})
            case "reaction" | "unreact":
                return "reaction", page_events.reaction(wish, target)
            case "edit":
                return "edit", page_events.edit(account, wish, target)
            case "postback" | "start":
                return "postback", self._postback(wish, mid)
            case "button" if not page_events.has_quick_replies(target):
                return "postback", self._postback(wish, mid)
            case "optin":
                customer.user_ref = wish.payload or f"ref-{customer.id}"
                return "optin", {"optin": {"ref": wish.title or "checkbox", "user_ref": customer.user_ref}}
            case "referral" if not wish.text:
                return "referral", {"referral": self._referral(wish)}
        return self.own_act(account, customer, wish, target) or (
            "message", {"message": self._message(account, wish, mid)}
        )  # fmt: skip

    def _postback(self, wish: SayWish, mid: str) -> JsonObject:
        title = wish.title or (self.start_title if wish.kind == "start" else wish.text or "OK")
        postback: JsonObject = {"mid": mid, "title": title, "payload": wish.payload or title}
        if wish.referral is not None:
            postback["referral"] = wish.referral
        return {"postback": postback}

    def _message(self, account: Account, wish: SayWish, mid: str) -> JsonObject:
        message: JsonObject = {"mid": mid}
        if wish.kind in ("button", "quick_reply"):
            title = wish.title or wish.text or "OK"
            message |= {"text": title, "quick_reply": {"payload": wish.payload or title}}
        elif wish.kind in ("text", "referral"):
            message["text"] = wish.text or ""
        else:
            message |= self.own_message(account, wish) or {
                "attachments": [self._attachment(account, wish) for _ in range(wish.count)]
            }
            if wish.text:
                message.setdefault("text", wish.text)
        if wish.reply_to:
            message["reply_to"] = {"mid": wish.reply_to}
        if wish.referral is not None or wish.kind == "referral":
            message["referral"] = self._referral(wish)
        return message

    def _referral(self, wish: SayWish) -> JsonObject:
        """By itself in a thread that exists, inside the message that begins one."""
        if wish.referral is not None:
            return wish.referral
        return {"ref": wish.payload or "shop", "source": self.referral_source, "type": "OPEN_THREAD"}

    def _attachment(self, account: Account, wish: SayWish) -> JsonObject:
        if wish.kind in MEDIA_ATTACHMENTS:
            url = page_events.attachment_url(self._simulation, account, wish)
            return {"type": MEDIA_ATTACHMENTS[wish.kind], "payload": {"url": url}}
        found = self.own_attachment(account, wish)
        if found is None:
            raise SayError(f"{self.product} customers cannot do {wish.kind}")
        return found

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        """From the Page's inbox or Instagram's own app."""
        if wish.kind in ("edit", "unsend"):
            raise SayError(f"{self.product} tells nothing of an {wish.kind} by the business")
        content: JsonObject = {}
        if wish.kind == "text":
            content["text"] = wish.text or ""
        else:
            said = SayWish(account_id=wish.account_id, kind=wish.kind)
            content["attachments"] = [self._attachment(account, said)]
        mid, at = self.new_mid(), self._simulation.world.now()
        message = Message(
            mid, customer.id, False, wish.kind, wish.text, content, at, native=True, reply_to=wish.reply_to
        )
        self.echo(account, customer, message)
        return self._simulation.world.add_message(account, customer, message)

    def echo(self, account: Account, customer: Customer, message: Message) -> None:
        """Goes out for every message of the business, whoever sent it."""
        if not account.echoes:
            return
        echo: JsonObject = {"mid": message.id, "is_echo": True, **self.echo_extra(account, message)}
        if message.text is not None:
            echo["text"] = message.text
        if message.reply_to is not None:
            echo["reply_to"] = {"mid": message.reply_to}
        if "attachments" in message.content:
            echo["attachments"] = message.content["attachments"]
        item = page_events.from_business(account, customer, message.at, {"message": echo})
        self._emit(account, customer, "echo", item, standby=customer.thread_owner is not None)

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        message.raise_status(status)
        content = self.receipt_content(message, status)
        item = page_events.from_customer(account, customer, self._simulation.world.now(), content)
        standby = customer.thread_owner is not None
        self._emit(account, customer, status, item, standby=standby, receipt=True)

    def _emit(
        self, account: Account, customer: Customer, kind: str, item: JsonObject, *, standby: bool = False,
        receipt: bool = False,
    ) -> None:  # fmt: skip
        topic = "standby" if standby else self.topics.get(kind)
        part = page_events.part_of(standby=standby)
        self._simulation.emit(account, customer, kind, item, part=part, receipt=receipt, topic=topic)

    # --- Of each product ----------------------------------------------------------------------------------------------

    @abstractmethod
    def new_mid(self) -> str: ...

    def before_message(self, account: Account, customer: Customer, mid: str, at: float) -> None:  # noqa: B027
        """What comes ahead of a new message."""

    @abstractmethod
    def own_act(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None
    ) -> tuple[str, JsonObject] | None:
        """An event that only this product has: its kind and content."""

    @abstractmethod
    def own_message(self, account: Account, wish: SayWish) -> JsonObject | None:
        """Fields of a message that carries neither text alone nor files."""

    @abstractmethod
    def own_attachment(self, account: Account, wish: SayWish) -> JsonObject | None: ...

    @abstractmethod
    def echo_extra(self, account: Account, message: Message) -> JsonObject: ...

    @abstractmethod
    def stages(self, message: Message) -> tuple[Status, ...]: ...

    @abstractmethod
    def receipt_content(self, message: Message, status: Status) -> dict[str, JsonValue]: ...
