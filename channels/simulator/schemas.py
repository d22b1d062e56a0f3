"""What the control API understands. Strict about names, so that a misspelt wish is refused and not ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from channels.simulator.faults import FaultKind, Scope
from channels.simulator.telegram_wishes import TelegramDetails

# pydantic's own alias: ours names itself and cannot be resolved in a model.
Json = dict[str, JsonValue]

SayKind = Literal[
    "text", "image", "video", "audio", "voice", "document", "sticker", "animation", "video_note",
    "location", "contact", "reaction", "unreact", "edit", "unsend",
    "button", "list_reply", "quick_reply", "postback", "callback", "start",
    "story_reply", "story_mention", "share", "like_heart", "ephemeral", "referral", "order", "number_changed",
    "block", "unblock", "opt_out", "opt_in", "unsupported", "raw",
    "live_photo", "paid_media", "poll", "dice", "game", "share_story", "checklist", "invoice", "payment", "web_app",
    "rich", "service", "update", "membership", "migrate", "connect", "disconnect",
    "flow_reply", "empty_interactive", "contact_info", "call_permission", "link_click", "call",
    "user_id_changed", "identity_changed", "optin", "reel", "post", "story",
]  # fmt: skip
MEDIA_KINDS = frozenset({"image", "video", "audio", "voice", "document", "sticker", "animation", "video_note"})


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Options(Wish):
    name: str = "Simulated business"
    username: str = "simulated"
    waba_id: str | None = None
    display_phone_number: str = "15550000001"
    page_id: str | None = None
    stack: Literal["login", "page"] = "login"
    app_id: str = Field(default="1234567890", pattern=r"^\d{1,18}$")
    echoes: bool = True
    edit_trap: bool = False
    messages_per_second: float | None = Field(default=None, gt=0)
    privacy_mode: bool = False
    flood_limits: bool = False
    """Telegram: 30 a second for the bot, one a second in a chat (in bursts of three), 20 a minute in a group."""
    allowed_updates: list[str] | None = None
    templates: list[Json] | None = None
    subscribed: bool = True
    """Whether webhooks come before ``subscribed_apps`` was called."""
    scopes: list[str] | None = None
    """Permissions of the token; without it, all that messaging needs."""
    token_hours_old: float = Field(default=48, ge=0)
    token_hours_left: float | None = None
    """``None``: never expires, for Instagram Login 60 days."""
    media_per_second: float | None = Field(default=None, gt=0)
    """Messenger, Instagram: of audio and video."""
    pair_rate: bool = False
    """WhatsApp: one message per six seconds to one person, beyond a burst of 45."""
    media_link_seconds: int = Field(default=300, ge=0)
    profile_access: bool = True
    legacy_stickers: bool = False
    string_numbers: bool = False


class AccountWish(Wish):
    """``verify`` performs Meta's handshake at once; a refused one is answered 400."""

    kind: Literal["whatsapp", "messenger", "instagram", "telegram"]
    account_id: str = Field(min_length=1)
    token: str = Field(min_length=1)
    app_secret: str | None = None
    secret_token: str | None = None
    webhook_url: str | None = None
    verify_token: str | None = None
    verify: bool = False
    options: Options = Field(default_factory=Options)


class CustomerRef(Wish):
    """Who acts. Found by id, phone, BSUID, username or name, in this order; made when nobody is found."""

    id: str | None = None
    name: str | None = None
    phone: str | None = None
    username: str | None = None
    bsuid: str | None = None
    parent_bsuid: str | None = None
    bsuid_in_from: bool | None = None
    """WhatsApp: the BSUID stands in ``from`` and ``wa_id`` as well."""
    language: str | None = None
    hide_phone: bool | None = None


class CustomerWish(Wish):
    """States of a customer that sends run into. ``wrote_hours_ago`` moves the messaging window."""

    account_id: str
    customer: CustomerRef
    reachable: bool | None = None
    blocked: bool | None = None
    marketing_stopped: bool | None = None
    has_profile: bool | None = None
    started: bool | None = None
    bio: str | None = None
    photo: bool | None = None
    """Telegram: has a profile picture."""
    send_error: int | None = None
    """Code with which everything sent to them fails from now on: later on WhatsApp, at once elsewhere; 0 ends it."""
    send_subcode: int | None = None
    dialled: str | None = None
    """WhatsApp: also reached by this number, though their ``wa_id`` is another one (Brazil, Mexico, …)."""
    thread_owner: str | None = None
    """Id of another app that holds the conversation on a Page; an empty text gives it back."""
    wrote_hours_ago: float | None = None
    never_wrote: bool = False


class Group(Wish):
    id: str
    title: str = "Group"


class Story(Wish):
    id: str = "17800000000000001"
    url: str | None = None


class SharedContact(Wish):
    name: str = "Bo Berg"
    phone: str = "+46700000001"


class SayWish(Wish):
    """One act of a customer. ``message_id`` is its target: what is edited, unsent, reacted to or tapped on."""

    account_id: str
    customer: CustomerRef = Field(default_factory=CustomerRef)
    kind: SayKind = "text"
    text: str | None = None
    """Also the caption of media and the new text of an edit."""
    data: str | None = None
    """Base64 of media; without it and ``url`` a small sample is sent."""
    url: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    count: int = Field(default=1, ge=1, le=10)
    """Files of this kind in one message (Messenger, Instagram)."""
    latitude: float = 52.52
    longitude: float = 13.405
    place_name: str | None = None
    address: str | None = None
    contact: SharedContact = Field(default_factory=SharedContact)
    emoji: str = "👍"
    message_id: str | None = None
    reply_to: str | None = None
    payload: str | None = None
    title: str | None = None
    story: Story = Field(default_factory=Story)
    referral: Json | None = None
    forwarded: bool = False
    frequently_forwarded: bool = False
    empty_emoji: bool = False
    """WhatsApp: a reaction is removed by an empty ``emoji`` instead of none."""
    referred_product: Json | None = None
    """WhatsApp: the product of a catalogue that the message is about."""
    error_code: int | None = None
    """WhatsApp: the content could not be fetched, for this reason (131052, …)."""
    media_group_id: str | None = None
    group: Group | None = None
    standby: bool = False
    telegram: TelegramDetails = Field(default_factory=TelegramDetails)
    at: float | None = None
    """Seconds since the epoch, for old messages."""
    raw: Json | None = None
    """Kind ``raw``: what the provider would send, verbatim. WhatsApp: an element of ``changes``; Messenger, Instagram:
    of ``messaging``; Telegram: an update without ``update_id``."""


class ReadWish(Wish):
    account_id: str
    customer: CustomerRef
    message_id: str | None = None
    """Up to this one; all when absent."""
    played: bool = False


class NativeWish(Wish):
    """The business answers from the provider's own app. ``message_id`` is what is edited or unsent (WhatsApp)."""

    account_id: str
    customer: CustomerRef
    kind: Literal["text", "image", "video", "audio", "document", "edit", "unsend"] = "text"
    text: str | None = Field(default=None, min_length=1)
    message_id: str | None = None
    reply_to: str | None = None


class ReceiptsWish(Wish):
    account_id: str | None = None
    auto: bool = True
    delivered_after: float = Field(default=0.05, ge=0)
    read_after: float = Field(default=0.2, ge=0)
    order: Literal["normal", "reversed", "read_first"] = "normal"


class FaultWish(Wish):
    scope: Scope
    kind: FaultKind | Literal["up"]
    account_id: str | None = None
    count: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    seconds: float | None = Field(default=None, ge=0)
    size: int = Field(default=2, ge=1, le=1000)
    merge: bool = False
    """Of a ``batch`` by Meta: one entry and one value instead of one of each for every update."""
    code: int | None = None
    subcode: int | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: int = Field(default=5, ge=0)
    edge: str | None = None
    """Graph API: which calls ``throttle`` and ``fail`` strike instead of sends: those of an edge (``media``,
    ``block_users``, …), of a ``node``, or a ``download``."""
    redeliver: int = Field(default=0, ge=0)
    """With ``up``: how many of the last delivered webhooks are posted once more."""


class OutboxWish(Wish):
    concurrency: int | None = Field(default=None, ge=1, le=1000)
    retry_scale: float | None = Field(default=None, ge=0)


class FlushWish(Wish):
    timeout: float = Field(default=5.0, ge=0, le=60)


class ChatterWish(Wish):
    """``per_minute`` 0 stops it. No accounts: all."""

    account_ids: list[str] = []
    per_minute: float = Field(default=20.0, ge=0, le=6000)
    customers: int = Field(default=6, ge=1, le=1000)


SayList = TypeAdapter(Annotated[list[SayWish], Field(max_length=5000)])


def refusal(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
