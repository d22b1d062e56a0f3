"""Who exists at the providers, and what was said. Everything is in memory and bounded: the oldest is forgotten first.

Times are seconds since the epoch by the world's own clock.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Literal

from channels.simulator import wire
from channels.simulator.meta_state import Comment, MetaState
from channels.simulator.telegram_state import BotState, ChatState
from channels.types import JsonObject

Kind = Literal["whatsapp", "messenger", "instagram", "telegram"]
Status = Literal["accepted", "sent", "delivered", "read", "played", "failed"]
Stack = Literal["login", "page"]

HOUR = 3600.0
DAY = 24 * HOUR
STATUS_RANK: dict[Status, int] = {"failed": 0, "accepted": 0, "sent": 1, "delivered": 2, "read": 3, "played": 4}

THREAD_LENGTH = 200
MESSAGES_PER_ACCOUNT = 50_000
CUSTOMERS_PER_ACCOUNT = 100_000
MEDIA_BYTES = 256 * 1024 * 1024


class UnknownError(LookupError):
    """The control API named an account, customer or message that is not here."""


@dataclass(slots=True, eq=False)
class Message:
    id: str
    """wamid, mid, or a Telegram ``message_id`` as text."""
    customer_id: str
    incoming: bool
    """From the customer to the business."""
    kind: str
    text: str | None
    content: JsonObject
    """As the provider shows it to the other side."""
    at: float
    correlation: str | None = None
    """``biz_opaque_callback_data`` or ``metadata``, as the business gave it."""
    reply_to: str | None = None
    status: Status = "accepted"
    error_code: int | None = None
    native: bool = False
    edits: int = 0
    deleted: bool = False
    reactions: dict[str, str] = field(default_factory=dict)
    """Side (``customer`` or ``business``) → emoji."""
    room: str | None = None
    """The chat, where it is another than the customer's own (Telegram's business accounts)."""

    def raise_status(self, status: Status) -> None:
        if STATUS_RANK[status] > STATUS_RANK[self.status]:
            self.status = status


@dataclass(slots=True, eq=False)
class Customer:
    id: str
    """wa_id (or BSUID when there is no phone), PSID, IGSID, Telegram user or group id."""
    name: str
    username: str | None = None
    phone: str | None = None
    """Digits without ``+``."""
    bsuid: str | None = None
    parent_bsuid: str | None = None
    bsuid_in_from: bool = False
    """WhatsApp writes the BSUID where the phone should be."""
    language: str = "en"
    hide_phone: bool = False
    """Has adopted a WhatsApp username: webhooks name only the BSUID."""
    reachable: bool = True
    blocked: bool = False
    marketing_stopped: bool = False
    has_profile: bool = True
    shut_out: bool = False
    """The business has blocked the customer."""
    send_error: int | None = None
    """Code with which the provider refuses or fails whatever is sent to the customer."""
    send_subcode: int | None = None
    thread_owner: str | None = None
    """Id of another app that owns the conversation on a Page or Instagram account."""
    user_ref: str | None = None
    """Of a checkbox plugin: the customer's only name until they write."""
    former: set[str] = field(default_factory=set)
    """Phones and BSUIDs that were theirs once."""
    members: dict[str, None] = field(default_factory=dict)
    """Customers in this group, in order."""
    next_free: float = 0.0
    """When the pair rate has recovered."""
    is_group: bool = False
    started: bool = True
    """Telegram: has opened the chat with the bot."""
    wrote_at: float | None = None
    """When the customer last did what opens a messaging window."""
    thread: deque[Message] = field(default_factory=lambda: deque(maxlen=THREAD_LENGTH))
    last_number: int = 0
    """Of the chat's messages (Telegram)."""
    chat: ChatState = field(default_factory=ChatState)

    @property
    def first_name(self) -> str:
        return self.name.split(" ", 1)[0]

    @property
    def last_name(self) -> str | None:
        _, _, rest = self.name.partition(" ")
        return rest or None


@dataclass(slots=True)
class ReceiptPolicy:
    auto: bool = True
    delivered_after: float = 0.05
    read_after: float = 0.2
    order: Literal["normal", "reversed", "read_first"] = "normal"


@dataclass(slots=True, eq=False)
class Account:
    """One business account at one provider."""

    kind: Kind
    account_id: str
    """Phone number id, Page id, Instagram account id or bot id."""
    token: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    """App secret that signs, or Telegram's secret token."""
    webhook_url: str | None = None
    verify_token: str | None = field(default=None, repr=False)
    name: str = "Simulated business"
    username: str = "simulated"
    waba_id: str = "0"
    display_phone_number: str = "15550000001"
    page_id: str | None = None
    stack: Stack = "login"
    app_id: str = "0"
    echoes: bool = True
    edit_trap: bool = False
    """Instagram announces new messages by a senderless ``message_edit`` with ``num_edit`` 0 (facts, 3.2)."""
    messages_per_second: float | None = None
    """Above it the account is throttled."""
    subscribed: bool = True
    allowed_updates: frozenset[str] | None = None
    """Telegram; ``None`` is everything."""
    templates: list[JsonObject] = field(default_factory=list)
    meta: MetaState = field(default_factory=MetaState)
    comments: dict[str, Comment] = field(default_factory=dict)
    receipts: ReceiptPolicy | None = None
    customers: dict[str, Customer] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    """Phone, BSUID, username and name → customer id."""
    messages: dict[str, Message] = field(default_factory=dict)
    last_update: int = field(default_factory=lambda: secrets.randbelow(9 * 10**8) + 10**8)
    pulled: deque[tuple[str, JsonObject]] = field(default_factory=lambda: deque(maxlen=1000))
    """Chat and update: Telegram updates for ``getUpdates`` while no webhook is set."""
    bot: BotState = field(default_factory=BotState)
    window_start: float = 0.0
    window_count: int = 0

    @property
    def callback_url(self) -> str | None:
        """Where webhooks go: the most specific address that was set."""
        callbacks = self.meta.callbacks
        return callbacks.get("phone_number") or callbacks.get("whatsapp_business_account") or self.webhook_url

    def message_key(self, customer_id: str, message_id: str) -> str:
        """A Telegram message id is unique only inside its chat (facts, 4.2)."""
        return f"{customer_id}/{message_id}" if self.kind == "telegram" else message_id

    def find_message(self, customer_id: str, message_id: str) -> Message | None:
        return self.messages.get(self.message_key(customer_id, message_id))

    def find_customer(self, reference: str) -> Customer | None:
        found = self.customers.get(reference)
        return found or self.customers.get(self.handles.get(reference, ""))


_KEPT = frozenset({
    "customers", "handles", "messages", "comments", "last_update", "pulled", "receipts", "bot",
    "window_start", "window_count",
})  # fmt: skip
SETTINGS = tuple(each.name for each in fields(Account) if each.name not in _KEPT)


@dataclass(frozen=True, slots=True)
class Media:
    id: str
    account_id: str
    kind: str
    mime_type: str
    filename: str
    data: bytes = field(repr=False)
    created_at: float
    ticket: str = field(repr=False)
    """Unguessable part of its links."""
    life: float = 30 * DAY
    """Seconds for which the id works (WhatsApp)."""


class World:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.now = clock
        self.accounts: dict[str, Account] = {}
        self.receipts = ReceiptPolicy()
        self.media: dict[str, Media] = {}
        self._media_bytes = 0
        self._by_token: dict[str, list[Account]] = {}

    def reset(self) -> None:
        self.accounts.clear()
        self.media.clear()
        self._by_token.clear()
        self._media_bytes = 0
        self.receipts = ReceiptPolicy()

    # --- Accounts -----------------------------------------------------------------------------------------------------

    def register(self, account: Account) -> Account:
        """A second registration renews the settings and keeps customers, messages and what waits to be delivered."""
        known = self.accounts.get(account.account_id)
        if known is not None and known.kind == account.kind:
            for name in SETTINGS:
                setattr(known, name, getattr(account, name))
            account = known
        self.accounts[account.account_id] = account
        self._by_token = {}
        for each in self.accounts.values():
            for token in (each.token, *each.meta.token.former):
                self._by_token.setdefault(token, []).append(each)
        return account

    def forget(self, account_id: str) -> None:
        account = self.get_account(account_id)
        del self.accounts[account_id]
        for token in (account.token, *account.meta.token.former):
            self._by_token[token].remove(account)
            if not self._by_token[token]:
                del self._by_token[token]

    def renew_token(self, account: Account, token: str, expires_at: float | None) -> None:
        """The account gets another token; the one it had works until its own end."""
        state = account.meta.token
        state.former[account.token] = state.expires_at
        state.issued_at, state.expires_at = self.now(), expires_at
        account.token = token
        self._by_token.setdefault(token, []).append(account)

    def get_account(self, account_id: str) -> Account:
        try:
            return self.accounts[account_id]
        except KeyError:
            raise UnknownError(f"no account {account_id}") from None

    def owned_by(self, token: str) -> list[Account]:
        """A Page token speaks for the Page and for the Instagram account linked to it."""
        return self._by_token.get(token, [])

    # --- Customers ----------------------------------------------------------------------------------------------------

    def add_customer(self, account: Account, customer: Customer) -> Customer:
        if len(account.customers) >= CUSTOMERS_PER_ACCOUNT:
            oldest = account.customers.pop(next(iter(account.customers)))
            for handle in self._handles(oldest):
                account.handles.pop(handle, None)
        # Ids go on rising over a restart, so that a chat never sees one twice.
        customer.last_number = customer.last_number or int((self.now() - 1_700_000_000) * 10)
        account.customers[customer.id] = customer
        self.index(account, customer)
        return customer

    def index(self, account: Account, customer: Customer) -> None:
        for handle in self._handles(customer):
            account.handles.setdefault(handle, customer.id)

    @staticmethod
    def _handles(customer: Customer) -> list[str]:
        return [handle for handle in (customer.phone, customer.bsuid, customer.username, customer.name) if handle]

    def get_customer(self, account: Account, reference: str) -> Customer:
        customer = account.find_customer(reference)
        if customer is None:
            raise UnknownError(f"no customer {reference} of account {account.account_id}")
        return customer

    def window_age(self, customer: Customer) -> float:
        """Seconds since the customer last wrote; infinite when never."""
        return float("inf") if customer.wrote_at is None else self.now() - customer.wrote_at

    # --- Messages and media -------------------------------------------------------------------------------------------

    def add_message(self, account: Account, customer: Customer, message: Message) -> Message:
        if len(account.messages) >= MESSAGES_PER_ACCOUNT:
            del account.messages[next(iter(account.messages))]
        account.messages[account.message_key(message.room or customer.id, message.id)] = message
        customer.thread.append(message)
        return message

    def get_message(self, account: Account, customer: Customer, message_id: str) -> Message:
        message = account.find_message(customer.id, message_id)
        if message is None:
            raise UnknownError(f"no message {message_id} between {account.account_id} and {customer.id}")
        return message

    def add_media(
        self, account: Account, kind: str, mime_type: str, filename: str, data: bytes, *, life: float = 30 * DAY
    ) -> Media:
        media_id = secrets.token_urlsafe(40) if account.kind == "telegram" else wire.digits_id(16)
        media = Media(
            media_id, account.account_id, kind, mime_type, filename, data, self.now(), secrets.token_urlsafe(24), life
        )
        self.media[media.id] = media
        self._media_bytes += len(data)
        while self._media_bytes > MEDIA_BYTES and len(self.media) > 1:
            self.drop_media(next(iter(self.media)))
        return media

    def age_media(self, media_id: str, seconds: float) -> None:
        """The file was sent so much longer ago, and every link to it that was given out is dead."""
        media = self.media.get(media_id)
        if media is None:
            raise UnknownError(f"no media {media_id}")
        ticket = secrets.token_urlsafe(24)
        self.media[media_id] = replace(media, created_at=media.created_at - seconds, ticket=ticket)

    def drop_media(self, media_id: str) -> None:
        self._media_bytes -= len(self.media.pop(media_id).data)
