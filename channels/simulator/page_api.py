"""The Send API of Messenger and Instagram as the business calls it (facts, 2.3, 2.6, 3.3, 3.4)."""

from __future__ import annotations

from channels.simulator import wire
from channels.simulator.calls import Call, File, Reply
from channels.simulator.graph_errors import GraphError, bad, no_such_node
from channels.simulator.instagram import InstagramVoice
from channels.simulator.messenger import MessengerVoice
from channels.simulator.page_checks import (
    MEDIA_ATTACHMENTS,
    SENDER_ACTIONS,
    check_message,
    check_reachable,
    check_window,
)
from channels.simulator.simulation import Simulation
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, Message
from channels.types import JsonObject, JsonValue

_MEGABYTE = 1024 * 1024
_REACTIONS = {"love": "❤", "like": "👍", "laugh": "😆", "wow": "😮", "sad": "😢", "angry": "😠"}


class PageApi:
    def __init__(self, simulation: Simulation, messenger: MessengerVoice, instagram: InstagramVoice) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._messenger = messenger
        self._instagram = instagram

    # --- POST /{page or account}/messages -----------------------------------------------------------------------------

    async def messages(self, account: Account, call: Call) -> Reply:
        fields = call.fields
        customer = self._recipient(account, fields)
        action, message = as_text(fields.get("sender_action")), fields.get("message")
        if action is not None:
            if message is not None:
                raise bad("sender_action cannot be sent together with a message.")
            return self._sender_action(account, customer, action, fields)
        if not isinstance(message, dict):
            raise bad("The parameter message is required")
        file = call.files.get("filedata")
        check_message(account, message, with_file=file is not None)
        check_reachable(account, customer)
        check_window(self._world, account, customer, fields)
        reply_to = as_text(as_object(fields.get("reply_to")).get("mid"))
        if reply_to is not None and reply_to not in account.messages:
            raise bad("The message that is replied to does not exist.", subcode=9000001)
        attachments = await self._attachments(account, message, file)
        mid = wire.messenger_message_id() if account.kind == "messenger" else wire.instagram_message_id()
        content: JsonObject = {**message}
        if attachments:
            content["attachments"] = attachments
        sent = Message(
            mid, customer.id, False, _kind_of(message), as_text(message.get("text")), content, self._world.now(),
            correlation=as_text(message.get("metadata")), reply_to=reply_to,
        )  # fmt: skip
        self._simulation.accepted(account, customer, sent)
        answer: JsonObject = {"recipient_id": customer.id, "message_id": mid}
        reusable = as_object(as_object(message.get("attachment")).get("payload")).get("is_reusable")
        if attachments and reusable:
            answer["attachment_id"] = wire.digits_id(16)
        return Reply(answer, sent=True)

    def _recipient(self, account: Account, fields: JsonObject) -> Customer:
        recipient = as_object(fields.get("recipient"))
        if not recipient:
            raise bad("The parameter recipient is required")
        customer = account.customers.get(str(recipient.get("id", "")))
        if customer is None:
            subcode = 2018001 if account.kind == "messenger" else 2534014
            raise bad("No matching user found", subcode=subcode)
        return customer

    def _sender_action(self, account: Account, customer: Customer, action: str, fields: JsonObject) -> Reply:
        if action not in SENDER_ACTIONS:
            raise bad(f"Param sender_action must be one of {{{', '.join(sorted(SENDER_ACTIONS))}}}")
        check_reachable(account, customer)
        if action == "mark_seen":
            for message in customer.thread:
                if message.incoming:
                    message.raise_status("read")
        elif action in ("react", "unreact"):
            check_window(self._world, account, customer, fields)
            self._react(account, fields, action)
        return Reply({"recipient_id": customer.id})

    @staticmethod
    def _react(account: Account, fields: JsonObject, action: str) -> None:
        payload = as_object(fields.get("payload"))
        target = account.messages.get(as_text(payload.get("message_id")) or "")
        if target is None:
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

    async def _attachments(self, account: Account, message: JsonObject, file: File | None) -> list[JsonValue]:
        """As the echo shows them: every file behind a link of the CDN."""
        given = [message["attachment"]] if "attachment" in message else as_list(message.get("attachments"))
        shown: list[JsonValue] = []
        for attachment in map(as_object, given):
            kind, payload = as_text(attachment.get("type")) or "", as_object(attachment.get("payload"))
            if kind not in MEDIA_ATTACHMENTS:
                shown.append(attachment)
                continue
            shown.append({"type": kind, "payload": {"url": await self._file_url(account, kind, payload, file)}})
        return shown

    async def _file_url(self, account: Account, kind: str, payload: JsonObject, file: File | None) -> str:
        attachment_id, url = as_text(payload.get("attachment_id")), as_text(payload.get("url"))
        if attachment_id is not None:
            media = self._world.media.get(attachment_id)
            if media is None or media.account_id != account.account_id:
                raise bad("Invalid attachment id", subcode=2018074)
            return self._simulation.link(media)
        if file is not None:
            return self._simulation.link(
                self._world.add_media(account, kind, file.content_type, file.filename, self._sized(kind, file.data))
            )
        assert url is not None
        fetched = await self._simulation.fetch(url, 25 * _MEGABYTE + 1)
        if fetched is None or len(fetched[0]) > (8 if kind == "image" else 25) * _MEGABYTE:
            raise bad("Failed to fetch the file from the url", subcode=2018008)
        return url

    @staticmethod
    def _sized(kind: str, data: bytes) -> bytes:
        if not data or len(data) > 25 * _MEGABYTE:
            raise bad("Upload attachment failure.", subcode=2018047)
        return data

    # --- Files, receipts, profiles ------------------------------------------------------------------------------------

    async def upload(self, account: Account, call: Call) -> Reply:
        """``message_attachments``: a file kept for later sends."""
        if account.kind == "instagram" and account.stack == "page" and call.fields.get("platform") != "instagram":
            raise bad("The parameter platform must be instagram")
        attachment = as_object(as_object(call.fields.get("message")).get("attachment"))
        kind, payload = as_text(attachment.get("type")), as_object(attachment.get("payload"))
        if kind not in MEDIA_ATTACHMENTS:
            raise bad("Param message[attachment][type] must be one of {AUDIO, FILE, IMAGE, VIDEO}")
        file, url = call.files.get("filedata"), as_text(payload.get("url"))
        if file is not None:
            if account.kind == "instagram" and not file.filename.isascii():
                raise bad("Upload attachment failure.", subcode=2018047)
            data, content_type, name = self._sized(kind, file.data), file.content_type, file.filename
        elif url is not None:
            fetched = await self._simulation.fetch(url, 25 * _MEGABYTE + 1)
            if fetched is None:
                raise bad("Failed to fetch the file from the url", subcode=2018008)
            data, content_type = fetched
            name = url.rsplit("/", 1)[-1] or kind
        else:
            raise bad("An attachment needs exactly one of url and filedata.")
        media = self._world.add_media(account, kind, content_type, name, data)
        return Reply({"attachment_id": media.id})

    def profile(self, account: Account, customer: Customer, call: Call) -> Reply:
        if account.kind == "messenger" and not customer.has_profile:
            raise bad("No profile available for this user.", subcode=2018218)
        if customer.blocked and account.kind == "instagram":
            raise no_such_node(customer.id, call.method)
        picture = f"{self._simulation.base_url}/cdn/avatar/{customer.id}.png"
        known: JsonObject = {"name": customer.name, "profile_pic": picture}
        if account.kind == "messenger":
            known |= {"first_name": customer.first_name, "last_name": customer.last_name or ""}
            known |= {"locale": customer.language, "timezone": 1}
        else:
            known |= {
                "username": customer.username or customer.name.lower().replace(" ", "."),
                "follower_count": 120,
                "is_verified_user": False,
                "is_user_follow_business": self._world.window_age(customer) < DAY,
                "is_business_follow_user": False,
            }
        asked = (as_text(call.fields.get("fields")) or "name").split(",")
        return Reply({**{key: known[key] for key in asked if key in known}, "id": customer.id})

    @staticmethod
    def message(account: Account, message: Message) -> Reply:
        """``GET /{mid}``, by which an Instagram edit without a sender is resolved (facts, 3.2)."""
        customer, business = {"id": message.customer_id}, {"id": account.account_id}
        sender, receiver = (customer, business) if message.incoming else (business, customer)
        shown: JsonObject = {"id": message.id, "from": {**sender}, "to": {"data": [{**receiver}]}}
        shown |= {"message": message.text or ""}
        return Reply(shown)

    def echo(self, account: Account, customer: Customer, message: Message) -> None:
        if message.native:
            return  # its own voice has told already
        if account.kind == "messenger":
            self._messenger.echo(account, customer, message)
        elif account.kind == "instagram":
            self._instagram.echo(account, customer, message)

    @staticmethod
    def subscription_refused(fields: JsonObject) -> GraphError | None:
        if not fields.get("subscribed_fields"):
            return bad("Param subscribed_fields must be non-empty")
        return None


def _kind_of(message: JsonObject) -> str:
    attachments = [message["attachment"]] if "attachment" in message else as_list(message.get("attachments"))
    return (as_text(as_object(attachments[0]).get("type")) or "file") if attachments else "text"
