"""The error table of channel facts 4.6, row by row."""

from __future__ import annotations

import orjson
import pytest

from channels.adapter import HttpAnswer
from channels.telegram.errors import DESCRIPTIONS, fault_of, read_reply
from channels.types import ContactEnd, Fault

TOKEN = "777:AAsecretsecret"


def classify(code: int, description: str, *, repeatable: bool = False) -> Fault:
    body = orjson.dumps({"ok": False, "error_code": code, "description": description})
    return fault_of(read_reply(HttpAnswer(code, {}, body)), token=TOKEN, repeatable=repeatable)


ROWS: list[tuple[int, str, str, ContactEnd | None]] = [
    (403, "Forbidden: bot was blocked by the user", "recipient_blocked_us", "blocked_us"),
    (403, "Forbidden: user is deactivated", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot was kicked from the group chat", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot was kicked from the supergroup chat", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot is not a member of the channel chat", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: the group chat was deleted", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot can't initiate conversation with a user", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: the bot can't send messages to bots", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: something new", "permission_missing", None),
    (400, "Bad Request: chat not found", "recipient_unavailable", "unreachable"),
    (400, "Bad Request: PEER_ID_INVALID", "recipient_unavailable", "unreachable"),
    (400, "Bad Request: message to be replied not found", "not_found", None),
    (400, "Bad Request: message to edit not found", "not_found", None),
    (400, "Bad Request: message can't be edited", "policy", None),
    (400, "Bad Request: not enough rights to send photos to the chat", "permission_missing", None),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", "permission_missing", None),
    (400, "Bad Request: wrong HTTP URL specified", "media_refused", None),
    (400, "Bad Request: failed to get HTTP URL content", "media_refused", None),
    (400, "Bad Request: wrong type of the web page content", "media_refused", None),
    (400, "Bad Request: file is too big", "media_refused", None),
    (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", "media_refused", None),
    (400, "Bad Request: VOICE_MESSAGES_FORBIDDEN", "media_refused", None),
    (400, "Bad Request: REACTION_INVALID", "parameter_invalid", None),
    (400, "Bad Request: BUSINESS_PEER_USAGE_MISSING", "window_closed", None),
    (400, "Bad Request: BUSINESS_CONNECTION_INVALID", "permission_missing", None),
    (400, "Bad Request: can't parse entities: …", "parameter_invalid", None),
    (400, "Bad Request: BUTTON_DATA_INVALID", "parameter_invalid", None),
    (401, "Unauthorized", "token_invalid", None),
    (404, "Not Found", "token_invalid", None),
    (409, "Conflict: terminated by other getUpdates request", "unknown_error", None),
    (413, "Request Entity Too Large", "media_refused", None),
    (418, "I'm a teapot", "unknown_error", None),
    (403, "Forbidden: bot was kicked from the channel chat", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot is not a member of the supergroup chat", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot can't send messages to bots", "recipient_unavailable", "unreachable"),
    (403, "Forbidden: bot can't send messages to the user", "recipient_unavailable", "unreachable"),
    (400, "Bad Request: user not found", "recipient_unavailable", "unreachable"),
    (400, "Bad Request: group chat was upgraded to a supergroup chat", "recipient_unavailable", None),
    (400, "Bad Request: message is not modified: specified new message content …", "not_modified", None),
    (400, "Bad Request: query is too old and response timeout expired or query ID is invalid", "not_found", None),
    (400, "Bad Request: query ID is invalid", "not_found", None),
    (400, "Bad Request: message to reply not found", "not_found", None),
    (400, "Bad Request: message to react not found", "not_found", None),
    (400, "Bad Request: message to delete not found", "not_found", None),
    (400, "Bad Request: MESSAGE_ID_INVALID", "not_found", None),
    (400, "Bad Request: message can't be deleted for everyone", "policy", None),
    (400, "Bad Request: there is no text in the message to edit", "policy", None),
    (400, "Bad Request: there is no caption in the message to edit", "policy", None),
    (400, "Bad Request: there is no media in the message to edit", "policy", None),
    (400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook", "parameter_invalid", None),
    (400, "Bad Request: business connection not found", "permission_missing", None),
    (400, "Bad Request: have no rights to send a message", "permission_missing", None),
    (400, "Bad Request: need administrator rights in the channel chat", "permission_missing", None),
    (400, "Bad Request: CHAT_ADMIN_REQUIRED", "permission_missing", None),
    (400, "Bad Request: CHAT_SEND_MEDIA_FORBIDDEN", "permission_missing", None),
    (400, "Bad Request: CHAT_RESTRICTED", "permission_missing", None),
    (400, "Bad Request: TOPIC_CLOSED", "permission_missing", None),
    (400, "Bad Request: message thread not found", "not_found", None),
    (400, "Bad Request: wrong file identifier/HTTP URL specified", "media_refused", None),
    (400, "Bad Request: file must be non-empty", "media_refused", None),
    (400, "Bad Request: FILE_REFERENCE_EXPIRED", "media_refused", None),
    (400, "Bad Request: file reference has expired", "media_refused", None),
    (400, "Bad Request: WEBPAGE_CURL_FAILED", "media_refused", None),
    (400, "Bad Request: IMAGE_PROCESS_FAILED", "media_refused", None),
    (400, "Bad Request: MEDIA_EMPTY", "media_refused", None),
    (400, "Bad Request: MEDIA_INVALID", "media_refused", None),
    (404, "Not Found: method not found", "parameter_invalid", None),
]


@pytest.mark.parametrize(("code", "description", "expected", "ends"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_a_refusal_is_final_and_says_what_it_ends(
    code: int, description: str, expected: str, ends: ContactEnd | None
) -> None:
    fault = classify(code, description)
    assert (fault.code, fault.ends_contact, fault.provider_code) == (expected, ends, str(code))
    assert not fault.retryable
    assert fault.reauthorise is (expected == "token_invalid")
    assert fault.closes_window is (expected == "window_closed")


def test_no_description_of_the_table_is_left_out() -> None:
    tried = {code: [_words(description) for row, description, *_ in ROWS if row == code] for code, *_ in ROWS}
    for code, rows in DESCRIPTIONS.items():
        for beginning, _ in rows:
            # The first beginning that fits counts, so a row behind a more general one would never be reached.
            reached = [words for words in tried[code] if words.startswith(beginning)]
            earlier = [one for one, _ in rows[: [one for one, _ in rows].index(beginning)]]
            assert reached, f"no row tries {beginning!r}"
            assert any(not words.startswith(tuple(earlier)) for words in reached), f"{beginning!r} is never reached"


def _words(description: str) -> str:
    body = orjson.dumps({"ok": False, "description": description})
    return read_reply(HttpAnswer(400, {}, body)).description


@pytest.mark.parametrize("code", [500, 502, 504])
def test_a_server_error_in_the_apis_own_words_may_be_tried_again(code: int) -> None:
    fault = classify(code, "Internal Server Error")
    assert (fault.code, fault.retryable) == ("temporary", True)


def test_our_own_mistakes_quote_telegram_without_the_token() -> None:
    fault = classify(400, f"Bad Request: strange /bot{TOKEN}/x " + "y" * 5000)
    assert fault.ours
    assert "strange /bot[token]/x" in fault.reason
    assert len(fault.reason) < 400


def test_a_token_cut_by_the_bound_does_not_slip_through() -> None:
    fault = classify(400, "Bad Request: ".ljust(190) + TOKEN)
    assert TOKEN[:6] not in fault.reason


@pytest.mark.parametrize(
    ("label", "status", "body", "headers", "code", "retryable"),
    [
        ("a proxy fails", 502, b"<html>", {}, "outcome_unknown", False),
        ("an empty answer", 504, b"", {}, "outcome_unknown", False),
        ("success without a body", 200, b"", {}, "outcome_unknown", False),
        ("success that is cut", 200, b'{"ok":tr', {}, "outcome_unknown", False),
        ("a refusal of the request", 400, b"<html>", {}, "unknown_error", False),
        ("a proxy throttles", 429, b"<html>", {"retry-after": "7"}, "rate_limited", True),
        ("a proxy limits size", 413, b"<html>", {}, "media_refused", False),
    ],
)
def test_an_answer_that_is_not_the_apis(
    label: str, status: int, body: bytes, headers: dict[str, str], code: str, retryable: bool
) -> None:
    fault = fault_of(read_reply(HttpAnswer(status, headers, body)), token=TOKEN)
    assert (fault.code, fault.retryable, fault.provider_code) == (code, retryable, str(status))
    assert fault.retry_after == (7.0 if headers else None)


def test_reading_again_is_safe_whatever_answered() -> None:
    fault = fault_of(read_reply(HttpAnswer(502, {}, b"<html>")), token=TOKEN, repeatable=True)
    assert (fault.code, fault.retryable) == ("temporary", True)


def test_retry_after_is_taken_from_the_header_where_the_body_has_none() -> None:
    body = orjson.dumps({"ok": False, "error_code": 429, "description": "Too Many Requests"})
    fault = fault_of(read_reply(HttpAnswer(429, {"retry-after": "3"}, body)), token=TOKEN, group=True)
    assert (fault.retry_after, fault.pauses) == (3.0, "recipient")
