"""A refusal of the Bot API as facts (channel facts, 4.6). Telegram gives an ``error_code``; within 400 and 403 only the
beginning of the description tells the reasons apart. The token is struck out of whatever is quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from channels.adapter import HttpAnswer
from channels.types import Fault, JsonObject
from channels.wire import Undecodable, as_integer, as_number, as_object, as_text, decode

QUERY_TOO_OLD: Final = ("query is too old", "query id is invalid")
NOT_MODIFIED: Final = ("message is not modified",)
NO_TEXT: Final = ("there is no text in the message to edit",)
NOTHING_TO_DELETE: Final = ("message to delete not found",)

_LONGEST_QUOTE: Final = 200

_BLOCKED = Fault("recipient_blocked_us", "The person blocked the bot.", ends_contact="blocked_us")
_GONE = Fault("recipient_unavailable", "The chat no longer exists.", ends_contact="unreachable")
_NEVER_STARTED = Fault(
    "recipient_unavailable",
    "The person has not started the bot, and a bot cannot write first.",
    ends_contact="unreachable",
)
_NOT_IN_CHAT = Fault("recipient_unavailable", "The bot is no longer in this chat.", ends_contact="unreachable")
_NO_RIGHTS = Fault("permission_missing", "The bot may not do this in this chat.")
_NOT_FOUND = Fault("not_found", "The message it refers to does not exist.")
_MEDIA = Fault("media_refused", "Telegram could not use the file.")
_OURS = Fault("parameter_invalid", "Telegram did not understand the message.", ours=True)
_DISCONNECTED = Fault("permission_missing", "The business account disconnected the bot.")
_SILENT = Fault("window_closed", "The person has not written for 24 hours.", closes_window=True)
_OTHER_KIND = Fault("policy", "The message is of another kind than what it should become.")
_WEBHOOK = Fault("parameter_invalid", "Telegram needs an https address on port 443, 80, 88 or 8443 to deliver to.")
_TOKEN = Fault("token_invalid", "The bot token is not valid.", reauthorise=True, pauses="channel")

DESCRIPTIONS: Final[dict[int, tuple[tuple[str, Fault], ...]]] = {
    404: (("method not found", _OURS),),
    403: (
        ("bot was blocked by the user", _BLOCKED),
        ("user is deactivated", replace(_GONE, reason="The person's account was deleted.")),
        ("bot was kicked from the", _NOT_IN_CHAT),
        ("the group chat was deleted", _GONE),
        ("bot is not a member of the", _NOT_IN_CHAT),
        ("bot can't initiate conversation with a user", _NEVER_STARTED),
        ("bot can't send messages to bots", replace(_GONE, reason="Bots cannot write to bots.")),
        ("bot can't send messages to the user", _NEVER_STARTED),
    ),
    400: (
        ("chat not found", _NEVER_STARTED),
        ("user not found", _GONE),
        ("peer_id_invalid", _GONE),
        ("group chat was upgraded to a supergroup chat", replace(_GONE, ends_contact=None)),
        ("message is not modified", Fault("not_modified", "The message says this already.")),
        ("query is too old", Fault("not_found", "The tap is too old to be answered.")),
        ("query id is invalid", Fault("not_found", "The tap is too old to be answered.")),
        ("message to be replied not found", _NOT_FOUND),
        ("message to reply not found", _NOT_FOUND),
        ("message to react not found", _NOT_FOUND),
        ("message to edit not found", _NOT_FOUND),
        ("message to delete not found", _NOT_FOUND),
        ("message_id_invalid", _NOT_FOUND),
        ("there is no text in the message to edit", _OTHER_KIND),
        ("there is no caption in the message to edit", _OTHER_KIND),
        ("there is no media in the message to edit", _OTHER_KIND),
        ("bad webhook", _WEBHOOK),
        ("message can't be edited", Fault("policy", "Telegram no longer allows to edit this message.")),
        ("message can't be deleted", Fault("policy", "Telegram allows to delete a message only within 48 hours.")),
        ("business_peer_usage_missing", _SILENT),
        ("business_connection_invalid", _DISCONNECTED),
        ("business connection not found", _DISCONNECTED),
        ("not enough rights", _NO_RIGHTS),
        ("have no rights", _NO_RIGHTS),
        ("need administrator rights", _NO_RIGHTS),
        ("chat_write_forbidden", _NO_RIGHTS),
        ("chat_admin_required", _NO_RIGHTS),
        ("chat_send_", _NO_RIGHTS),
        ("chat_restricted", _NO_RIGHTS),
        ("topic_closed", replace(_NO_RIGHTS, reason="The topic is closed.")),
        ("message thread not found", replace(_NOT_FOUND, reason="The topic does not exist.")),
        ("voice_messages_forbidden", replace(_MEDIA, reason="The person accepts no voice or video messages.")),
        ("wrong http url specified", replace(_MEDIA, reason="The link to the file is not valid.")),
        ("failed to get http url content", replace(_MEDIA, reason="Telegram could not load the file from its link.")),
        ("wrong type of the web page content", replace(_MEDIA, reason="The link leads to a file of another type.")),
        ("file is too big", replace(_MEDIA, reason="The file is too large.")),
        ("wrong file", _MEDIA),
        ("file must be non-empty", replace(_MEDIA, reason="The file is empty.")),
        ("file reference", _MEDIA),
        ("file_reference", _MEDIA),
        ("webpage_", _MEDIA),
        ("image_process_failed", _MEDIA),
        ("photo_", _MEDIA),
        ("media_empty", _MEDIA),
        ("media_invalid", _MEDIA),
        ("reaction_", Fault("parameter_invalid", "This reaction is not allowed in this chat.")),
    ),
}  # fmt: skip
"""By ``error_code``, then by how the description begins after its class; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the Bot API, read. ``ok`` None: the body is not the API's, whoever wrote it."""

    ok: bool | None
    status: int
    body: JsonObject
    headers_retry_after: float | None
    at: datetime | None = None
    """By Telegram's clock, in which its other times are told too."""

    @property
    def description(self) -> str:
        """After the class: ``bot was blocked by the user``, in lower case."""
        words = (as_text(self.body.get("description")) or "").lower()
        for opening in ("bad request: ", "forbidden: ", "not found: "):
            words = words.removeprefix(opening)
        return words.removeprefix("the ") if words.startswith("the bot") else words

    def says(self, beginnings: tuple[str, ...]) -> bool:
        return self.ok is False and self.description.startswith(beginnings)


def read_reply(answer: HttpAnswer) -> Reply:
    try:
        body = as_object(decode(answer.body))
    except Undecodable:
        body = {}
    ok = body.get("ok")
    wait, at = as_number(answer.headers.get("retry-after")), _date(answer.headers.get("date"))
    return Reply(ok if isinstance(ok, bool) else None, answer.status, body, wait, at)


def _date(header: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)


def fault_of(reply: Reply, *, token: str, group: bool = False, repeatable: bool = False) -> Fault:
    """``group``: the recipient is a group. ``repeatable``: the call changes nothing, so it may be tried again."""
    if reply.ok is not False:
        return _fault_without_body(reply, group, repeatable)
    code = as_integer(reply.body.get("error_code")) or reply.status
    parameters = as_object(reply.body.get("parameters"))
    fault = _classify(code, reply, group, as_number(parameters.get("retry_after")))
    moved_to = as_integer(parameters.get("migrate_to_chat_id"))
    if moved_to is not None:
        reason = "The group became a supergroup with another id."
        fault = Fault("recipient_unavailable", reason, retryable=True, moved_to=str(moved_to))
    said = as_text(reply.body.get("description"))
    if fault.code in ("parameter_invalid", "unknown_error") and said:
        # Struck out before it is cut, or half a token would stand at the end.
        words = said.replace(token, "[token]") if token else said
        fault = replace(fault, reason=f"{fault.reason} Telegram says: {words[:_LONGEST_QUOTE]}")
    return replace(fault, provider_code=str(code))


def _classify(code: int, reply: Reply, group: bool, retry_after: float | None) -> Fault:
    if code == 429:
        return _throttled(group, retry_after if retry_after is not None else reply.headers_retry_after)
    words = reply.description
    for beginning, fault in DESCRIPTIONS.get(code, ()):
        if words.startswith(beginning):
            return fault
    if code == 400:
        return _OURS
    if code == 403:
        return _NO_RIGHTS
    if code in (401, 404):
        # A malformed token is not recognised as one: the address then does not exist.
        return _TOKEN
    if code == 409:
        return Fault("unknown_error", "Another program uses this bot in a way that excludes ours.")
    if code == 413:
        return replace(_MEDIA, reason="The file is too large.")
    if code >= 500:
        return Fault("temporary", "Telegram has a problem at the moment.", retryable=True)
    return Fault("unknown_error", "Telegram refused the message.")


def _throttled(group: bool, retry_after: float | None) -> Fault:
    """Telegram does not say which limit was hit. A group has a narrow one of its own; else the whole bot waits."""
    return Fault(
        "rate_limited",
        "Telegram asks to slow down.",
        retryable=True,
        retry_after=retry_after,
        pauses="recipient" if group else "channel",
    )


def _fault_without_body(reply: Reply, group: bool, repeatable: bool) -> Fault:
    """Something between us and the API answered: only a refusal of the request itself tells what happened."""
    code = str(reply.status)
    if reply.status == 429:
        return replace(_throttled(group, reply.headers_retry_after), provider_code=code)
    if reply.status == 413:
        return replace(_MEDIA, reason="The file is too large.", provider_code=code)
    if repeatable:
        return Fault("temporary", "Telegram could not be reached properly.", code, retryable=True)
    if 400 <= reply.status < 500:
        return Fault("unknown_error", f"The request was refused with HTTP status {code}.", code)
    return Fault("outcome_unknown", "Telegram's answer does not tell whether the message went out.", code)
