"""What an agent can say to `inbox watch`: an answer, or a word with a slash."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from inbox.demo.api import Api, Json
from inbox.demo.board import MESSAGE, Board, Entry
from inbox.demo.errors import ApiError, Away
from inbox.demo.lines import Line
from inbox.realtime.client import StreamClient

HELP = """N or /open N     pick a conversation, show its last messages
text             answer the open conversation
/list            conversations by their last message
/read            mark the open one as read; the customer sees it where the channel can show it
/assign me       take it; /assign nobody gives it back
/close, /reopen  end it, or begin again
/retry           send the last failed message again
/later 45s text  send it then, or in 10m, 2h, 3d: unless the customer writes first
/bot             let a bot answer; write yourself to take it back
/block why       nothing goes out to them any more, and what they write is set aside; /unblock ends it
/leave           close it here, without changing anything
/quit            or Ctrl-D, Ctrl-C"""
SHOWN_MESSAGES = "15"
LISTED = 30
SEND_ATTEMPTS = 3
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def waiting(span: str) -> timedelta | None:
    """``45s``, ``10m``, ``2h`` or ``3d``; at most five digits."""
    number, unit = span[:-1], span[-1:]
    if unit not in UNITS or not (number.isascii() and number.isdecimal()) or len(number) > 5:
        return None
    return timedelta(**{UNITS[unit]: int(number)})


class Commands:
    """``open_entry`` is the conversation that answers go to."""

    def __init__(
        self,
        api: Api,
        board: Board,
        client: StreamClient,
        show: Callable[[Line], None],
        note: Callable[[str], None],
        opened: Callable[[Entry | None], None],
    ) -> None:
        self._api = api
        self._board = board
        self._client = client
        self._show = show
        self._note = note
        self._opened = opened
        self.open_entry: Entry | None = None

    async def run(self, line: str) -> bool:
        """Whether to go on. A refusal is said and changes nothing."""
        word, _, rest = line.partition(" ")
        if word in ("/quit", "/exit", "/q"):
            return False
        try:
            await self._run(word, rest.strip(), line)
        except ApiError as error:
            self._note(f"Not done: {error}")
        return True

    async def _run(self, word: str, rest: str, line: str) -> None:
        if word.isdecimal() and not rest:
            word, rest = "/open", word
        match word:
            case "/help" | "/?":
                for each in HELP.splitlines():
                    self._note(each)
            case "/list":
                self.show_list(LISTED)
            case "/open":
                await self._open(rest)
            case "/leave":
                await self._look_at(None)
            case _ if self.open_entry is None:
                self._note("Pick a conversation first: its number, or /open N. /help lists what there is.")
            case "/read":
                await self._mark_read(self.open_entry)
            case "/close" | "/reopen":
                status = "closed" if word == "/close" else "open"
                await self._change(self.open_entry, {"status": status})
            case "/assign":
                await self._assign(self.open_entry, rest)
            case "/retry":
                await self._retry(self.open_entry)
            case "/later":
                await self._schedule(self.open_entry, rest)
            case "/bot":
                await self._give_to_bot(self.open_entry)
            case "/block" | "/unblock":
                body = {"reason": rest} if word == "/block" and rest else {}
                await self._api.post(f"/v1/contacts/{self.open_entry.conversation.contact_id}{word}", body)
            case _ if word.startswith("//"):
                await self._send(self.open_entry, line[1:])
            case _ if word.startswith("/"):
                self._note(f"There is no {word}. /help lists what there is; to send it as text, write /{word}.")
            case _:
                await self._send(self.open_entry, line)

    def show_list(self, limit: int) -> None:
        entries = self._board.recent(limit)
        if not entries:
            self._note("No conversations so far.")
        for entry in entries:
            conversation = entry.conversation
            unread = f" ({entry.unread} new)" if entry.unread else ""
            state = "" if conversation.status == "open" else f" [{conversation.status}]"
            at = conversation.last_message_at or conversation.created_at
            text = f"{conversation.last_message_preview or ''}{unread}{state}"
            tone = "in" if entry.unread else "quiet"
            name = self._board.name_of(conversation)
            kind = self._board.kind_of(conversation.channel_id)
            self._show(Line(at.isoformat(), entry.number, kind, name, text, "in" if tone == "in" else "quiet"))

    async def _open(self, number: str) -> None:
        entry = self._board.numbered(int(number)) if number.isdecimal() and len(number) < 10 else None
        if entry is None:
            self._note(f"There is no conversation {number}. /list shows them." if number else "Which one? /open N")
            return
        page = await self._api.get(f"/v1/conversations/{entry.conversation.id}/messages", {"limit": SHOWN_MESSAGES})
        messages = [MESSAGE.validate_python(item) for item in page["items"]]
        self._note(f"--- {self._board.name_of(entry.conversation)} ---")
        for message in messages:
            self._show(self._board.message_line(message.created_at.isoformat(), entry, message))
        self._board.remember(messages)
        await self._look_at(entry)

    async def _look_at(self, entry: Entry | None) -> None:
        self.open_entry = entry
        self._opened(entry)
        conversation_id = None if entry is None else str(entry.conversation.id)
        with suppress(OSError):  # not connected now: others need not know
            await self._client.say({"type": "viewing", "conversation_id": conversation_id})

    async def _mark_read(self, entry: Entry) -> None:
        path = f"/v1/conversations/{entry.conversation.id}/reading-position"
        answer = await self._api.put(path, {"number": entry.conversation.last_number})
        entry.unread = answer["unread"]
        self._note(f"[{entry.number}] is read.")

    async def _change(self, entry: Entry, patch: dict[str, object]) -> None:
        await self._api.patch(f"/v1/conversations/{entry.conversation.id}", patch)

    async def _assign(self, entry: Entry, whom: str) -> None:
        if whom not in ("me", "nobody"):
            self._note("/assign me, or /assign nobody")
            return
        me: UUID | None = self._board.me if whom == "me" else None
        await self._change(entry, {"assignee_id": str(me) if me else None})

    async def _retry(self, entry: Entry) -> None:
        message = self._board.last_failed(entry.conversation.id)
        if message is None:
            self._note("Nothing has failed here.")
            return
        await self._api.post(f"/v1/messages/{message.id}/retry")

    async def _schedule(self, entry: Entry, rest: str) -> None:
        span, _, text = rest.partition(" ")
        wait = waiting(span)
        if wait is None or not text.strip():
            self._note("/later 45s, 10m, 2h or 3d, and the text")
            return
        body: Json = {
            "parts": [{"type": "text", "text": text.strip()}],
            "when": {"type": "at", "at": (datetime.now(UTC) + wait).isoformat()},
            "hold_on_reply": True,
        }
        await self._api.post(f"/v1/conversations/{entry.conversation.id}/scheduled-messages", body, key=uuid4().hex)

    async def _give_to_bot(self, entry: Entry) -> None:
        """To the first one that serves the channel."""
        for bot in await self._api.all("/v1/bots"):
            if bot["enabled"] and (bot["channels"] is None or str(entry.conversation.channel_id) in bot["channels"]):
                await self._api.post(f"/v1/conversations/{entry.conversation.id}/workflows", {"bot_id": bot["id"]})
                return
        self._note("No bot serves this channel.")

    async def _send(self, entry: Entry, text: str) -> None:
        """With a key: when an answer of the server is lost, asking again cannot send twice."""
        key = uuid4().hex
        path = f"/v1/conversations/{entry.conversation.id}/messages"
        body = {"parts": [{"type": "text", "text": text}]}
        for attempt in range(1, SEND_ATTEMPTS + 1):
            try:
                await self._api.post(path, body, key=key)
                return
            except Away:
                if attempt == SEND_ATTEMPTS:
                    raise
