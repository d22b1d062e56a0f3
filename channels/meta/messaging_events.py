"""Readers of the events that Messenger and Instagram describe alike. The products pick theirs and add their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from channels.content import ChoicePart, Part, StoryPart, SystemPart, TextPart, UnsupportedPart
from channels.inbound import (
    ChannelNotice,
    Echo,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    ReactionChanged,
    StatusReported,
    StatusUpTo,
)
from channels.meta.messaging import Item, Reader, flag, without_grants
from channels.meta.messaging_parts import AttachmentReader, attachment_parts, referral_of
from channels.types import JsonObject, JsonValue
from channels.wire import LONG, SHORT, as_id, as_integer, as_object, as_page, as_text, as_time, kept, kept_object

_REACTIONS: Final[Mapping[str, str]] = {
    "love": "❤️",
    "like": "👍",
    "dislike": "👎",
    "laugh": "😆",
    "smile": "😆",
    "haha": "😆",
    "wow": "😮",
    "sad": "😢",
    "angry": "😠",
}
"""For reactions that come with a name only."""


def message_reader(attachments: Mapping[str, AttachmentReader]) -> Reader:
    def read(item: Item, message: JsonObject) -> Sequence[Inbound]:
        peer = item.peer
        if peer is None:
            return ()
        if flag(message.get("is_self")) and peer.addresses[0].value == item.account_id:
            # The account wrote to itself: there is no other side to have a conversation with.
            return (item.unsupported("message.is_self"),)
        external_id = as_id(message.get("mid")) or item.made_up_id("message")
        echo = _echo(message) if item.by_business else None
        if flag(message.get("is_deleted")):
            return (MessageUnsent(item.account_id, external_id, peer, item.occurred_at, by_business=item.by_business),)
        return (
            MessageReceived(
                account_id=item.account_id,
                external_id=external_id,
                peer=peer,
                parts=_parts(message, attachments),
                occurred_at=item.occurred_at,
                reply_to=as_id(as_object(message.get("reply_to")).get("mid")),
                referral=referral_of(message.get("referral")),
                echo=echo,
                standby=item.standby,
                opens_window=echo is None,
            ),
        )

    return read


def _echo(message: JsonObject) -> Echo:
    return Echo(correlation=as_text(message.get("metadata"), LONG), app_id=as_id(message.get("app_id")))


def _parts(message: JsonObject, attachments: Mapping[str, AttachmentReader]) -> tuple[Part, ...]:
    parts: list[Part] = []
    story = as_object(message.get("reply_to")).get("story")
    if isinstance(story, dict):
        parts.append(StoryPart("reply", as_page(story.get("url")), as_id(story.get("id"))))
    text = as_text(message.get("text"))
    if text is not None:
        parts.append(TextPart(text))
    tapped = message.get("quick_reply")
    if isinstance(tapped, dict):
        title = text[:SHORT] if text else None
        parts.append(ChoicePart("quick_reply", as_text(tapped.get("payload"), LONG), title))
    if message.get("attachments") is not None:
        parts += attachment_parts(message["attachments"], attachments)
    if message.get("commands") is not None:
        parts.append(SystemPart("commands", data=kept_object({"commands": message["commands"]})))
    if flag(message.get("is_unsupported")):
        parts.append(UnsupportedPart("is_unsupported", "The provider does not pass this content on"))
    # What is known to stand beside contents is not content; a message of unknown content is kept whole.
    return tuple(parts) or (UnsupportedPart("message", data=kept_object(message)),)


def read_edit(item: Item, edit: JsonObject) -> Sequence[Inbound]:
    """``num_edit`` 0 announces a new message, without sender or text: no edit, and ``message`` follows (facts 3.2)."""
    if as_integer(edit.get("num_edit")) == 0:
        # One comes beside every new message: a notice to each would hide those that are worth reading.
        return (replace(item.unsupported("message_edit.num_edit_0"), harmless=True),)
    external_id, text = as_id(edit.get("mid")), as_text(edit.get("text"))
    if external_id is None or text is None:
        return ()
    words = (TextPart(text),)
    return (MessageEdited(item.account_id, external_id, item.peer, words, item.occurred_at, item.by_business),)


def reaction_reader(*, opens_window: bool) -> Reader:
    def read(item: Item, reaction: JsonObject) -> Sequence[Inbound]:
        external_id, action = as_id(reaction.get("mid")), reaction.get("action")
        if item.peer is None or external_id is None or action not in ("react", "unreact"):
            return ()
        emoji = None
        if action == "react":
            name = as_text(reaction.get("reaction"), SHORT)
            emoji = as_text(reaction.get("emoji"), SHORT) or (_REACTIONS.get(name, name) if name else None)
            if emoji is None:
                return ()
        return (
            ReactionChanged(
                account_id=item.account_id,
                external_id=external_id,
                peer=item.peer,
                emoji=emoji,
                occurred_at=item.occurred_at,
                by_business=item.by_business,
                opens_window=opens_window and emoji is not None and not item.by_business,
            ),
        )

    return read


def read_postback(item: Item, postback: JsonObject) -> Sequence[Inbound]:
    payload, title = as_text(postback.get("payload"), LONG), as_text(postback.get("title"), SHORT)
    if payload is None and title is None:
        return ()
    part = ChoicePart("postback", payload, title)
    return received(item, "postback", part, postback, referral=postback.get("referral"))


def read_referral(item: Item, referral: JsonObject) -> Sequence[Inbound]:
    """The person followed a link into an existing thread: no words, but it restarts the window."""
    part = SystemPart("referral", as_text(referral.get("ref"), LONG), kept_object(referral))
    return received(item, "referral", part, referral, referral=referral)


def received(
    item: Item, event: str, part: Part, source: JsonObject, *, referral: JsonValue = None
) -> Sequence[Inbound]:
    """A message of one part out of an event that is no ``message``, with an id made up where it has none."""
    if item.peer is None:
        return ()
    return (
        MessageReceived(
            account_id=item.account_id,
            external_id=as_id(source.get("mid")) or item.made_up_id(event),
            peer=item.peer,
            parts=(part,),
            occurred_at=item.occurred_at,
            referral=referral_of(referral),
            standby=item.standby,
        ),
    )


def read_seen(item: Item, read: JsonObject) -> Sequence[Inbound]:
    """Messenger tells a watermark, Instagram the id of the message seen."""
    found: list[Inbound] = []
    external_id = as_id(read.get("mid"))
    if external_id is not None:
        found.append(StatusReported(item.account_id, external_id, "read", item.occurred_at, peer=item.peer))
    watermark = as_time(read.get("watermark"))
    if watermark is not None and item.peer is not None:
        found.append(StatusUpTo(item.account_id, item.peer, "read", watermark, item.occurred_at))
    return found


def notice_reader(topic: str) -> Reader:
    def read(item: Item, value: JsonObject) -> Sequence[Inbound]:
        data = as_object(without_grants(kept(value)))
        if item.peer is not None:
            data.setdefault("peer", item.peer.addresses[0].value)
        return (ChannelNotice(item.account_id, topic, data, item.occurred_at),)

    return read


HANDOVER: Final[Mapping[str, Reader]] = {
    topic: notice_reader(topic)
    for topic in ("pass_thread_control", "take_thread_control", "request_thread_control", "app_roles")
}
