"""How provider apps and channels look to clients: in answers and in events alike. No view holds a credential.

``verify_token`` is the exception that proves it: a person has to paste it into the provider's form, so whoever may
write channels sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from channels.capabilities import Capabilities
from inbox.connections.pace import FASTEST, RATE_OPTION, SLOWEST, read_rate

State = Literal["enabled", "disabled"]
Health = Literal["ok", "reauthorise", "paused", "degraded"]

MOST_SECRETS = 4

Name: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
AccountId: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
GivenSecret: TypeAlias = Annotated[SecretStr, Field(min_length=1, max_length=256)]
Secrets: TypeAlias = Annotated[list[GivenSecret], Field(min_length=1, max_length=MOST_SECRETS)]


def _in_one_line(token: SecretStr) -> SecretStr:
    """It travels in a header or a path: a line break from a paste would only show when something is sent."""
    if not all("!" <= character <= "~" for character in token.get_secret_value()):
        raise ValueError("a token holds no spaces, line breaks or other characters that cannot be seen")
    return token


GivenToken: TypeAlias = Annotated[SecretStr, Field(min_length=1, max_length=4096), AfterValidator(_in_one_line)]


def _with_a_rate(options: dict[str, str]) -> dict[str, str]:
    if RATE_OPTION in options and read_rate(options[RATE_OPTION]) is None:
        raise ValueError(f"{RATE_OPTION} is a number from {SLOWEST} to {FASTEST:.0f}")
    return options


Options: TypeAlias = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    AfterValidator(_with_a_rate),
    Field(
        max_length=50,
        description="Facts of the kind, such as `waba_id`. Shown to everybody: never credentials. "
        "`messages_per_second` replaces the general rate of the kind; the capabilities show what counts.",
    ),
]


@dataclass(frozen=True, slots=True)
class ProviderAppView:
    """A Meta app or a Telegram bot. ``shared``: it belongs to the installation and cannot be changed here.

    ``webhook_url`` and ``verify_token`` go into the provider's form; they are null for callers without
    channels.write, and for shared apps.
    """

    id: UUID
    provider: str
    name: str
    account_id: str | None
    shared: bool
    webhook_url: str | None
    verify_token: str | None = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProviderAppCreated:
    """``generated_secret`` is shown this one time: Telegram wants it as ``secret_token`` of setWebhook."""

    app: ProviderAppView
    generated_secret: str | None = field(repr=False)


class ProviderAppIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    provider: Word = Field(examples=["meta", "telegram"])
    name: Name
    signing_secrets: Secrets | None = Field(
        default=None, description="Meta: the app secret. Telegram: the secret_token; left out, one is generated."
    )
    verify_token: GivenSecret | None = Field(default=None, description="Meta only; left out, one is generated.")
    account_id: AccountId | None = Field(default=None, description="Telegram only: the id of the bot.")


class ProviderAppPatch(BaseModel):
    """What is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    signing_secrets: Secrets | None = None
    keep_previous_secrets: bool = Field(
        default=False, description="While secrets are rotated: what was signed with the old ones is accepted too."
    )


@dataclass(frozen=True, slots=True)
class HealthReason:
    """One thing that is wrong: ``token``, ``expiry``, ``renewal``, ``silent``, ``billing``, ``quality``, …"""

    aspect: str
    health: Literal["degraded", "paused", "reauthorise"]
    reason: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A connected number, Page, account or bot. ``health_reason`` is a sentence for a person.

    ``health`` is the worst of ``health_reasons``. ``sending_paused_until``: the provider throttles the channel until
    then; a time that has passed means nothing any more.
    """

    id: UUID
    kind: str
    provider_app_id: UUID
    account_id: str
    name: str
    state: State
    health: Health
    health_reason: str | None
    health_reasons: list[HealthReason]
    sending_paused_until: datetime | None
    sending_paused_reason: str | None
    token_expires_at: datetime | None
    options: Mapping[str, str]
    api_base: str | None
    created_at: datetime
    updated_at: datetime | None


class ChannelIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Word = Field(examples=["whatsapp", "messenger", "instagram", "telegram"])
    provider_app_id: UUID
    account_id: AccountId | None = Field(
        default=None, description="As the provider names it in its webhooks; left out, the account of the app."
    )
    name: Name
    token: GivenToken
    api_base: str | None = Field(
        default=None,
        max_length=256,
        description="Replaces the provider's host, for a simulator. Reaches private networks only where the "
        "installation allows it; not for shared apps.",
    )
    options: Options = Field(default_factory=dict)


class ChannelPatch(BaseModel):
    """What is left out or null stays as it is; ``options`` replaces all of them."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    token: GivenToken | None = None
    state: State | None = None
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class ChannelKind:
    kind: str
    provider: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class CheckedAccount:
    account_id: str
    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FindingView:
    """One thing that was looked at. ``reason`` and ``remedy`` are sentences for a person."""

    code: str
    state: Literal["ok", "warning", "broken"]
    reason: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class CheckFault:
    """``reauthorise``: a new token is needed."""

    code: str
    reason: str
    provider_code: str | None
    retryable: bool
    reauthorise: bool


@dataclass(frozen=True, slots=True)
class CheckOut:
    """Whether the credentials of the channel work; ``fault`` says why not.

    ``findings``: everything that was looked at, with what a person can do about it.
    """

    ok: bool
    account: CheckedAccount | None
    fault: CheckFault | None
    findings: list[FindingView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ConnectOut:
    """What was done at the provider, and what is left to do by hand. ``ok``: nothing is broken.

    ``webhook_url`` and ``verify_token`` go into the provider's form where it has one; null for shared apps.
    """

    ok: bool
    channel: ChannelView
    fault: CheckFault | None
    findings: list[FindingView]
    webhook_url: str | None
    verify_token: str | None = field(repr=False)
