"""What the control API can have a provider do by itself: events about an account, its standing, and time passing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from channels.simulator.schemas import CustomerRef, Json, Wish


class OfAccount(Wish):
    account_id: str


# --- Events -----------------------------------------------------------------------------------------------------------


class RawEvent(OfAccount):
    """Any field of ``changes``, verbatim. ``flat``: beside the entry's id, as Instagram Login sends comments."""

    event: Literal["raw"]
    field: str = Field(min_length=1)
    value: Json
    flat: bool = False


class OfTemplate(OfAccount):
    name: str
    language: str = "en_US"


class TemplateStatus(OfTemplate):
    event: Literal["template_status"]
    status: Literal[
        "APPROVED", "REJECTED", "PENDING", "PAUSED", "DISABLED", "FLAGGED", "REINSTATED", "IN_APPEAL", "ARCHIVED",
        "PENDING_DELETION", "DELETED", "LIMIT_EXCEEDED",
    ]  # fmt: skip
    reason: str | None = "NONE"


class TemplateQuality(OfTemplate):
    event: Literal["template_quality"]
    score: Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]


class TemplateCategory(OfTemplate):
    event: Literal["template_category"]
    category: Literal["MARKETING", "UTILITY", "AUTHENTICATION"]


class TemplateComponents(OfTemplate):
    event: Literal["template_components"]
    components: list[Json]


class NumberQuality(OfAccount):
    event: Literal["number_quality"]
    update: str = "FLAGGED"
    """``event`` of the webhook: ONBOARDING, UPGRADE, DOWNGRADE, FLAGGED, UNFLAGGED, THROUGHPUT_UPGRADE."""
    limit: str | None = None
    """The messaging limit from now on: TIER_250, TIER_2K, …"""
    rating: Literal["GREEN", "YELLOW", "RED"] | None = None
    """Shown by the number's node only."""


class NumberName(OfAccount):
    event: Literal["number_name"]
    decision: Literal["APPROVED", "REJECTED", "DEFERRED"] = "APPROVED"
    name: str = "New name"
    reason: str | None = None


class AccountUpdate(OfAccount):
    event: Literal["account_update"]
    update: str = "ACCOUNT_VIOLATION"
    """``event`` of the webhook: VERIFIED_ACCOUNT, DISABLED_UPDATE, ACCOUNT_RESTRICTION, ACCOUNT_DELETED, …"""
    details: Json = Field(default_factory=dict)
    """Beside it: ``ban_info``, ``violation_info``, ``restriction_info``, …"""


class AccountAlert(OfAccount):
    event: Literal["account_alert"]
    alert: str = "INCREASED_CAPABILITIES_ELIGIBILITY_FAILED"
    severity: Literal["CRITICAL", "WARNING", "INFORMATIONAL"] = "WARNING"
    status: Literal["ACTIVE", "NONE"] = "ACTIVE"
    description: str = "Please look at your account."


class AccountReview(OfAccount):
    event: Literal["account_review"]
    decision: Literal["APPROVED", "REJECTED", "PENDING", "DEFERRED"]


class Capability(OfAccount):
    event: Literal["business_capability"]
    daily_limit: int = 1000
    numbers: int = 2


class Security(OfAccount):
    event: Literal["security"]
    update: Literal["PIN_CHANGED", "PIN_RESET_REQUEST", "PIN_RESET_SUCCESS"] = "PIN_CHANGED"


class BusinessUsername(OfAccount):
    event: Literal["business_username"]
    username: str
    status: Literal["approved", "reserved", "deleted"] = "approved"


class GroupChange(OfAccount):
    """A WhatsApp group is made, ended or renamed, or people (by id, phone or BSUID) join and leave."""

    event: Literal["group"]
    group_id: str
    change: Literal["create", "delete", "join", "leave", "rename"]
    title: str = "Group"
    people: list[CustomerRef] = Field(default_factory=list)


class Commented(OfAccount):
    """Somebody comments on a post of the Page or Instagram account: a private reply to it becomes possible."""

    event: Literal["comment"]
    customer: CustomerRef
    text: str = "How much is it?"
    comment_id: str | None = None
    post_id: str = "17800000000000009"


class ThreadControl(OfAccount):
    """The conversation changes hands. ``app_id``: who holds or asks for it then; this app when absent."""

    event: Literal["thread_control"]
    customer: CustomerRef
    action: Literal["pass", "take", "request"]
    app_id: str | None = None


class PolicyEnforcement(OfAccount):
    event: Literal["policy"]
    action: Literal["warning", "block", "unblock"]
    reason: str | None = None


ProviderEvent = Annotated[
    RawEvent | TemplateStatus | TemplateQuality | TemplateCategory | TemplateComponents | NumberQuality | NumberName
    | AccountUpdate | AccountAlert | AccountReview | Capability | Security | BusinessUsername | GroupChange | Commented
    | ThreadControl | PolicyEnforcement,
    Field(discriminator="event"),
]  # fmt: skip
PROVIDER_EVENT: TypeAdapter[ProviderEvent] = TypeAdapter(ProviderEvent)


# --- Standing and time ------------------------------------------------------------------------------------------------


class StateWish(OfAccount):
    """What is given is set, without any webhook; the answer tells all of it."""

    subscribed: bool | None = None
    scopes: list[str] | None = None
    token_hours_old: float | None = Field(default=None, ge=0)
    token_hours_left: float | None = None
    """Negative: expired."""
    token_trouble: int | None = None
    """Subcode of 190 with which every call is refused from now on; 0 ends it."""
    quality_rating: Literal["GREEN", "YELLOW", "RED"] | None = None
    number_status: str | None = None
    messaging_limit: str | None = None
    messaging_access: bool | None = None
    """Instagram: false is the owner's switch in the settings."""
    restricted: bool | None = None
    profile_access: bool | None = None
    pair_rate: bool | None = None
    block_limit: int | None = Field(default=None, ge=0)
    media_link_seconds: int | None = Field(default=None, ge=0)
    messages_per_second: float | None = Field(default=None, gt=0)


class AgeWish(OfAccount):
    """Exactly one of these becomes so much older: a person's last message, a message, a comment, a file."""

    hours: float = Field(gt=0)
    customer: CustomerRef | None = None
    message_id: str | None = None
    comment_id: str | None = None
    media_id: str | None = None


class TemplateWish(OfAccount):
    """Defines a template, or replaces the one of this name and language; ``id`` is given when absent."""

    name: str
    language: str = "en_US"
    category: Literal["MARKETING", "UTILITY", "AUTHENTICATION"] = "UTILITY"
    status: str = "APPROVED"
    parameter_format: Literal["POSITIONAL", "NAMED"] = "POSITIONAL"
    components: list[Json]
