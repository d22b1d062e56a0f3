"""The Send API of Messenger and Instagram as the business calls it (facts, 2.3, 3.3)."""

from __future__ import annotations

from channels.simulator import wire
from channels.simulator.calls import Call, File, Reply
from channels.simulator.graph_errors import bad
from channels.simulator.instagram import InstagramVoice
from channels.simulator.messenger import MessengerVoice
from channels.simulator.page_checks import (
    LOST_ANSWER,
    MEDIA_ATTACHMENTS,
    SENDER_ACTIONS,
    check_media_rate,
    check_message,
    check_reachable,
    check_standing,
    check_utility,
    check_window,
    wished,
)
from channels.simulator.page_recipients import Recipient, find_recipient
from channels.simulator.simulation import Simulation
from channels.simulator.template_sends import rendered
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, Media, Message
from channels.types import JsonObject, JsonValue

_MEGABYTE = 1024 * 1024
_REACTIONS = {"love": "❤", "like": "👍", "laugh": "😆", "wow": "😮", "sad": "😢", "angry": "😠"}
ATTACHMENT_LIFE = 90 * DAY


class PageApi:
    def __init__(self, simulation: Simulation, messenger: MessengerVoice, instagram: InstagramVoice) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._messenger = messenger
        self._instagram = instagram

    # --- POST /{page or account}/messages -----------------------------------------------------------------------------

    async def messages(self, account: Account, call: Call) -> Reply:
        fields = call.fields
        recipient = find_recipient(self._world, account, fields)
        check_standing(account)
        action, message = as_text(fields.get("sender_action")), fields.get("message")
        if action is not None:
            if message is not None:
                raise bad("sender_action cannot be sent together with a message.")
            return self._sender_action(account, recipient, action, fields)
        if not isinstance(message, dict):
            raise bad("The parameter message is required")
        file = call.files.get("filedata")
        check_message(account, message, with_file=file is not None)
        check_media_rate(self._world, account, message)
        check_utility(self._world, account, fields, message)
        check_reachable(account, recipient.customer)
        check_window(self._world, account, recipient, fields)
        reply_to = as_text(as_object(fields.get("reply_to")).get("mid"))
        if reply_to is not None and reply_to not in account.messages:
            raise bad("The message that is replied to does not exist.", subcode=9000001)
        attachments, kept = await self._attachments(account, message, file)
        return self._accept(account, recipient, message, attachments, kept, reply_to)

    def _accept(
        self, account: Account, recipient: Recipient, message: JsonObject, attachments: list[JsonValue],
        kept: str | None, reply_to: str | None,
    ) -> Reply:  # fmt: skip
        customer = recipient.customer
        mid = wire.messenger_message_id() if account.kind == "messenger" else wire.instagram_message_id()
        content: JsonObject = {**message}
        if attachments:
            content["attachments"] = attachments
        text = rendered(account, as_object(message["template"])) if "template" in message else message.get("text")
        sent = Message(
            mid, customer.id, False, _kind_of(message), as_text(text), content, self._world.now(),
            correlation=as_text(message.get("metadata")), reply_to=reply_to,
        )  # fmt: skip
        if recipient.comment is not None:
            recipient.comment.answered = True
        self._simulation.accepted(account, customer, sent)
        if (customer.send_error, customer.send_subcode) == LOST_ANSWER:
            raise wished(*LOST_ANSWER)
        answer: JsonObject = {"message_id": mid}
        if recipient.named:
            answer["recipient_id"] = customer.id
        if kept is not None:
            answer["attachment_id"] = kept
        return Reply(answer, sent=True)

    def _sender_action(self, account: Account, recipient: Recipient, action: str, fields: JsonObject) -> Reply:
        customer = recipient.customer
        if action not in SENDER_ACTIONS:
            raise bad(f"Param sender_action must be one of {{{', '.join(sorted(SENDER_ACTIONS))}}}")
        if not recipient.named or recipient.comment is not None:
            raise bad("A sender_action needs recipient[id].")
        check_reachable(account, customer)
        if action == "mark_seen":
            for message in customer.thread:
                if message.incoming:
                    message.raise_status("read")
        elif action in ("react", "unreact"):
            check_window(self._world, account, recipient, fields)
            self._react(account, customer, fields, action)
        return Reply({"recipient_id": customer.id})

    @staticmethod
    def _react(account: Account, customer: Customer, fields: JsonObject, action: str) -> None:
        payload = as_object(fields.get("payload"))
        target = account.messages.get(as_text(payload.get("message_id")) or "")
        if target is None or target.customer_id != customer.id or target.deleted:
            raise bad("The message that is reacted to does not exist.", subcode=9000001)
        target.reactions.pop("business", None)
        if action == "unreact":
            return
        reaction = as_text(payload.get("reaction"))
        if not reaction:
            raise bad("The parameter payload[reaction] is required")
        if account.kind == "instagram" and account.stack == "page" and reaction != "love":
            raise bad("Param payload[reaction] must be one of {love}")
        target.reactions["business"] = _REACTIONS.get(reaction, reaction)

    # --- Files --------------------------------------------------------------------------------------------------------

    async def _attachments(
        self, account: Account, message: JsonObject, file: File | None
    ) -> tuple[list[JsonValue], str | None]:
        """As the echo shows them, every file behind a link; and the id of the one that is to be kept for later."""
        given = [message["attachment"]] if "attachment" in message else as_list(message.get("attachments"))
        shown: list[JsonValue] = []
        kept: str | None = None
        for attachment in map(as_object, given):
            kind, payload = as_text(attachment.get("type")) or "", as_object(attachment.get("payload"))
            if kind not in MEDIA_ATTACHMENTS:
                shown.append(attachment)
                continue
            media, url = await self._file(account, kind, payload, file)
            shown.append({"type": kind, "payload": {"url": url}})
            if media is not None and payload.get("is_reusable"):
                kept = media.id
        return shown, kept

    async def _file(
        self, account: Account, kind: str, payload: JsonObject, file: File | None
    ) -> tuple[Media | None, str]:
        """The file, where it is kept here, and its link."""
        attachment_id, url = as_text(payload.get("attachment_id")), as_text(payload.get("url"))
        if attachment_id is not None:
            media = self._world.media.get(attachment_id)
            gone = media is None or media.account_id != account.account_id
            if media is None or gone or self._world.now() - media.created_at > media.life:
                raise bad("Invalid attachment id", subcode=2018074)
            if media.kind != kind:
                raise bad("The attachment is of another type", subcode=2018074)
            return media, self._simulation.link(media)
        if file is not None:
            media = self._keep(account, kind, _sized(account, file), file.content_type, file.filename)
            return media, self._simulation.link(media)
        assert url is not None
        data, content_type = await self._fetched(kind, url)
        if not payload.get("is_reusable"):
            return None, url
        return self._keep(account, kind, data, content_type, url.rsplit("/", 1)[-1] or kind), url

    def _keep(self, account: Account, kind: str, data: bytes, content_type: str, name: str) -> Media:
        return self._world.add_media(account, kind, content_type, name, data, life=ATTACHMENT_LIFE)

    async def _fetched(self, kind: str, url: str) -> tuple[bytes, str]:
        fetched = await self._simulation.fetch(url, 25 * _MEGABYTE + 1)
        if fetched is None or len(fetched[0]) > (8 if kind == "image" else 25) * _MEGABYTE:
            raise bad("Failed to fetch the file from the url", subcode=2018008)
        return fetched

    async def upload(self, account: Account, call: Call) -> Reply:
        """``message_attachments``: a file kept for later sends."""
        if account.kind == "instagram" and account.stack == "page" and call.fields.get("platform") != "instagram":
            raise bad("The parameter platform must be instagram")
        attachment = as_object(as_object(call.fields.get("message")).get("attachment"))
        kind, payload = as_text(attachment.get("type")), as_object(attachment.get("payload"))
        if kind is None or kind not in MEDIA_ATTACHMENTS:
            raise bad("Param message[attachment][type] must be one of {AUDIO, FILE, IMAGE, VIDEO}")
        file, url = call.files.get("filedata"), as_text(payload.get("url"))
        if (file is None) == (url is None):
            raise bad("An attachment needs exactly one of url and filedata.")
        if file is not None:
            data, content_type, name = _sized(account, file), file.content_type, file.filename
        else:
            assert url is not None
            data, content_type = await self._fetched(kind, url)
            name = url.rsplit("/", 1)[-1] or kind
        return Reply({"attachment_id": self._keep(account, kind, data, content_type, name).id})

    # --- Echoes -------------------------------------------------------------------------------------------------------

    def echo(self, account: Account, customer: Customer, message: Message) -> None:
        if message.native:
            return  # its own voice has told already
        if account.kind == "messenger":
            self._messenger.echo(account, customer, message)
        elif account.kind == "instagram":
            self._instagram.echo(account, customer, message)


def _sized(account: Account, file: File) -> bytes:
    limit = 8 if account.kind == "instagram" and file.content_type.startswith("image/") else 25
    if not file.data or len(file.data) > limit * _MEGABYTE:
        raise bad("Upload attachment failure.", subcode=2018047)
    if account.kind == "instagram" and not file.filename.isascii():
        raise bad("Upload attachment failure.", subcode=2018047)
    return file.data


def _kind_of(message: JsonObject) -> str:
    if "template" in message:
        return "template"
    attachments = [message["attachment"]] if "attachment" in message else as_list(message.get("attachments"))
    return (as_text(as_object(attachments[0]).get("type")) or "file") if attachments else "text"
