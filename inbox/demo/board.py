"""What an agent's client knows: a snapshot, and events applied to it in order. Pure: no socket, no terminal.

Each event becomes at most the few lines that a person wants to read about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from contacts.schemas import ContactView
from inbox.conversations.schemas import ConversationPage, ConversationView
from inbox.demo.automation import Automation, News
from inbox.demo.lines import Line, author_of, excerpt, words_of
from inbox.messages.schemas import MessageView
from inbox.realtime.client import ClientEvent

MESSAGE = TypeAdapter(MessageView)
CONVERSATION = TypeAdapter(ConversationView)
CONTACT = TypeAdapter(ContactView)
PAGE = TypeAdapter(ConversationPage)

SPOKEN_STATUSES = frozenset({"sent", "delivered", "read", "played", "failed", "uncertain", "cancelled"})
MOST_REMEMBERED = 2_000
"""Messages whose words are kept to explain a later receipt, edit or reaction."""
ABOUT_A_CONTACT: Final = ("conversation", "scheduled_message", "enrollment", "set_aside", "reach")
"""Where an event may name a contact by its id alone."""


@dataclass(slots=True)
class Entry:
    """A conversation under the short number by which it is called here."""

    number: int
    conversation: ConversationView
    unread: int = 0


@dataclass(slots=True)
class Board:
    """``me`` is the agent whose eyes these are; a bystander has none."""

    me: UUID | None = None
    channels: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    """Kind and name."""
    agents: dict[UUID, str] = field(default_factory=dict)
    contacts: dict[UUID, ContactView] = field(default_factory=dict)
    entries: dict[UUID, Entry] = field(default_factory=dict)
    _messages: dict[UUID, MessageView] = field(default_factory=dict)
    _failed: set[UUID] = field(default_factory=set)
    _automation: Automation = field(default_factory=Automation)

    # --- the snapshot -------------------------------------------------------------------------------------------------

    def load(self, page: ConversationPage) -> None:
        """A fresh snapshot. Numbers that were given stay."""
        self.contacts |= {contact.id: contact for contact in page.contacts}
        for conversation in reversed(page.items):
            entry = self._entry(conversation)
            entry.unread = page.unread.get(str(conversation.id), 0)

    def remember(self, messages: Iterable[MessageView]) -> None:
        for message in messages:
            while len(self._messages) >= MOST_REMEMBERED:
                del self._messages[next(iter(self._messages))]
            self._messages.pop(message.id, None)
            self._messages[message.id] = message
            if message.status == "failed":
                self._failed.add(message.id)

    def recent(self, limit: int) -> list[Entry]:
        """By their last message, newest last, as a terminal scrolls."""
        newest = sorted(self.entries.values(), key=lambda entry: _last_at(entry.conversation))
        return newest[-limit:]

    def numbered(self, number: int) -> Entry | None:
        return next((entry for entry in self.entries.values() if entry.number == number), None)

    def last_failed(self, conversation_id: UUID) -> MessageView | None:
        for message in reversed(self._messages.values()):
            if message.conversation_id == conversation_id and message.id in self._failed:
                return message
        return None

    def name_of(self, conversation: ConversationView) -> str:
        contact = self.contacts.get(conversation.contact_id)
        return (contact.name or contact.phone or "somebody") if contact is not None else "somebody"

    def kind_of(self, channel_id: UUID) -> str:
        return self.channels.get(channel_id, ("", ""))[0]

    def unknown_contact(self, event: ClientEvent) -> UUID | None:
        """A contact whose name is needed for this event, and that is older than the snapshot."""
        documents = (event.data.get(name) for name in ABOUT_A_CONTACT)
        named = [UUID(one["contact_id"]) for one in documents if isinstance(one, Mapping)]
        return next((contact_id for contact_id in named if contact_id not in self.contacts), None)

    # --- events -------------------------------------------------------------------------------------------------------

    def apply(self, event: ClientEvent) -> list[Line]:
        data = event.data
        match event.kind:
            case "message.created":
                return self._created(event.at, MESSAGE.validate_python(data["message"]), data["conversation"])
            case "message.updated":
                return self._changed(event.at, MESSAGE.validate_python(data["message"]))
            case "message.status":
                return self._status(event.at, data)
            case "conversation.created" | "conversation.updated":
                return self._conversation(event.at, CONVERSATION.validate_python(data["conversation"]))
            case "conversation.merged":
                entry = self.entries.pop(UUID(data["merged"]), None)
                kept = self._entry(CONVERSATION.validate_python(data["conversation"]))
                return [] if entry is None else [self._line(event.at, kept, f"continues [{entry.number}]", "quiet")]
            case "conversation.read":
                return self._read(event.at, data)
            case "contact.created" | "contact.updated" | "contact.merged" | "contact.blocked" | "contact.unblocked":
                contact = CONTACT.validate_python(data["contact"])
                self.contacts[contact.id] = contact
            case "agent.created" | "agent.updated":
                self.agents[UUID(data["agent"]["id"])] = data["agent"]["name"]
            case "channel.created" | "channel.updated":
                return self._channel(event.at, data["channel"])
            case "workflow.created" | "workflow.updated":
                self._entry(CONVERSATION.validate_python(data["conversation"]))
        return [self._news_line(event.at, news) for news in self._automation.apply(event, self.agents)]

    def notice(self, frame: Mapping[str, Any]) -> list[Line]:
        """Typing, presence and viewing of others: true now, and not stored anywhere."""
        agent_id = UUID(frame["agent_id"]) if "agent_id" in frame else None
        if frame.get("type") != "ephemeral" or agent_id is None or agent_id == self.me:
            return []
        name = self.agents.get(agent_id, "somebody")
        match frame.get("kind"):
            case "typing" if frame["on"]:
                entry = self.entries.get(UUID(frame["conversation_id"]))
                return [] if entry is None else [self._line(None, entry, f"{name} is typing …", "quiet")]
            case "presence":
                return [Line(None, text=f"{name} is {'online' if frame['online'] else 'offline'}", tone="quiet")]
            case "viewing":
                seen = [self.entries[one] for one in map(UUID, frame["conversation_ids"]) if one in self.entries]
                return [self._line(None, entry, f"{name} is looking at this", "quiet") for entry in seen]
        return []

    def _created(self, at: str, message: MessageView, conversation: Any) -> list[Line]:
        entry = self._entry(CONVERSATION.validate_python(conversation))
        self.remember([message])
        if message.direction == "in":
            entry.unread += 1
        return [self.message_line(at, entry, message)]

    def message_line(self, at: str, entry: Entry, message: MessageView) -> Line:
        incoming = message.direction == "in"
        who = self.name_of(entry.conversation)
        if not incoming:
            who = f"{author_of(message, self.me)} → {who}"
        return self._line(at, entry, words_of(message), "in" if incoming else "out", who=who)

    def _changed(self, at: str, message: MessageView) -> list[Line]:
        entry, before = self.entries.get(message.conversation_id), self._messages.get(message.id)
        self.remember([message])
        if entry is None:
            return []
        if message.unsent_at is not None:
            text = "took a message back" if before is None else f"took back {excerpt(before)}"
        elif before is not None and message.reactions != before.reactions:
            emoji = " ".join(one.emoji for one in message.reactions)
            text = f"{emoji} on {excerpt(message)}" if emoji else f"no reaction any more on {excerpt(message)}"
        elif before is None or message.versions != before.versions:
            text = f"edited: {words_of(message)}"
        else:
            return []  # found out what it answers: nothing to read
        return [self._line(at, entry, text, "in" if message.direction == "in" else "out")]

    def _status(self, at: str, data: Mapping[str, Any]) -> list[Line]:
        message, entry = self._messages.get(UUID(data["message_id"])), self.entries.get(UUID(data["conversation_id"]))
        status: str = data["status"]
        if message is not None:
            (self._failed.add if status == "failed" else self._failed.discard)(message.id)
        if entry is None or status not in SPOKEN_STATUSES:
            return []
        ticks = {"sent": "✓ ", "delivered": "✓✓ ", "read": "✓✓ ", "played": "✓✓ "}.get(status, "✗ ")
        about = "" if message is None else f" {excerpt(message)}"
        why = f": {data['fault']['reason']}" if data["fault"] else ""
        return [self._line(at, entry, f"{ticks}{status}{about}{why}", "bad" if why else "receipt")]

    def _conversation(self, at: str, conversation: ConversationView) -> list[Line]:
        known = self.entries.get(conversation.id)
        before = known.conversation if known is not None else None
        entry = self._entry(conversation)
        if before is None:
            return []
        lines = []
        if before.status != conversation.status and not _through_a_bot(before, conversation):
            lines.append(self._line(at, entry, f"is {conversation.status} now", "quiet"))
        if before.assignee_id != conversation.assignee_id:
            whom = "nobody" if conversation.assignee_id is None else self._agent(conversation.assignee_id)
            lines.append(self._line(at, entry, f"is assigned to {whom} now", "quiet"))
        return lines

    def _news_line(self, at: str, news: News) -> Line:
        text, tone = news.said
        entry = self._entry_about(news)
        if entry is not None:
            return self._line(at, entry, text, tone)
        contact = self.contacts.get(news.contact_id) if news.contact_id is not None else None
        name = "" if contact is None else contact.name or contact.phone or "somebody"
        return Line(at, None, "" if news.channel_id is None else self.kind_of(news.channel_id), name, text, tone)

    def _entry_about(self, news: News) -> Entry | None:
        """The conversation, or the newest one with the contact."""
        if news.conversation_id is not None:
            return self.entries.get(news.conversation_id)
        about = [
            entry
            for entry in self.entries.values()
            if entry.conversation.contact_id == news.contact_id
            and news.channel_id in (None, entry.conversation.channel_id)
        ]
        return max(about, key=lambda entry: _last_at(entry.conversation), default=None)

    def _read(self, at: str, data: Mapping[str, Any]) -> list[Line]:
        entry, reader = self.entries.get(UUID(data["conversation_id"])), UUID(data["agent_id"])
        if entry is None:
            return []
        if reader != self.me:
            return [self._line(at, entry, f"{self._agent(reader)} has read up to message {data['number']}", "quiet")]
        entry.unread = max(0, entry.conversation.last_number - data["number"])
        return []

    def _channel(self, at: str, channel: Mapping[str, Any]) -> list[Line]:
        self.channels[UUID(channel["id"])] = (channel["kind"], channel["name"])
        state = channel["state"] if channel["health"] == "ok" else f"{channel['health']}: {channel['health_reason']}"
        return [Line(at, channel=channel["kind"], text=f"{channel['name']} is {state}", tone="quiet")]

    def _agent(self, agent_id: UUID) -> str:
        return "you" if agent_id == self.me else self.agents.get(agent_id, "somebody")

    def _entry(self, conversation: ConversationView) -> Entry:
        entry = self.entries.get(conversation.id)
        if entry is None:
            entry = Entry(1 + max((each.number for each in self.entries.values()), default=0), conversation)
            self.entries[conversation.id] = entry
        entry.conversation = conversation
        return entry

    def _line(self, at: str | None, entry: Entry, text: str, tone: Any, *, who: str | None = None) -> Line:
        name = who if who is not None else self.name_of(entry.conversation)
        return Line(at, entry.number, self.kind_of(entry.conversation.channel_id), name, text, tone)


def _through_a_bot(before: ConversationView, now: ConversationView) -> bool:
    """Open and pending are told by what the bot does."""
    bot = before.responder is not None or now.responder is not None
    return bot and {before.status, now.status} <= {"open", "pending"}


def _last_at(conversation: ConversationView) -> float:
    return (conversation.last_message_at or conversation.created_at).timestamp()
