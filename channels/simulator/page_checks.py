"""What the Send API of Messenger and Instagram refuses at once (facts, 2.3, 2.4, 3.3, 3.4)."""

from __future__ import annotations

from channels.simulator.graph_errors import GraphError, bad
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, World
from channels.types import JsonObject

RETIRED_TAGS = frozenset({"CONFIRMED_EVENT_UPDATE", "ACCOUNT_UPDATE", "POST_PURCHASE_UPDATE"})
MESSAGING_TYPES = frozenset({"RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"})
SENDER_ACTIONS = frozenset({"typing_on", "typing_off", "mark_seen", "react", "unreact"})
MEDIA_ATTACHMENTS = frozenset({"image", "audio", "video", "file"})


def too_long(name: str, limit: int) -> GraphError:
    return bad(f"Length of param {name} must be less than or equal to {limit}")


def check_reachable(account: Account, customer: Customer) -> None:
    if customer.blocked or not customer.reachable:
        raise GraphError(551, "(#551) This person isn't available right now.", subcode=1545041)


def check_window(world: World, account: Account, customer: Customer, fields: JsonObject) -> None:
    """24 hours; seven days for a person's reply under HUMAN_AGENT; utility templates at any time on Messenger."""
    kind, tag = as_text(fields.get("messaging_type")), as_text(fields.get("tag"))
    if kind is not None and kind not in MESSAGING_TYPES:
        raise bad("Param messaging_type must be one of {RESPONSE, UPDATE, MESSAGE_TAG, UTILITY}")
    if kind == "MESSAGE_TAG" and tag is None:
        raise bad("The parameter tag is required when messaging_type is MESSAGE_TAG")
    if tag is not None and (tag != "HUMAN_AGENT" or tag in RETIRED_TAGS):
        raise bad("Invalid message tag. This tag is no longer supported; use utility templates")
    if kind == "UTILITY" and account.kind == "messenger":
        return
    if world.window_age(customer) > (7 * DAY if tag == "HUMAN_AGENT" else DAY):
        subcode = 2018278 if account.kind == "messenger" else 2534022
        raise GraphError(10, "(#10) This message is sent outside of allowed window.", subcode=subcode)


def check_message(account: Account, message: JsonObject, *, with_file: bool) -> None:
    text = message.get("text")
    attachments = [message["attachment"]] if "attachment" in message else as_list(message.get("attachments"))
    if text is not None and not isinstance(text, str):
        raise bad("Param message[text] must be a string.")
    if not text and not attachments and not with_file and "template" not in message:
        raise bad("Must include message text or attachment.")
    if text and (attachments or with_file):
        raise bad("A message cannot have both text and an attachment.")
    if text:
        _check_length(account, text)
    metadata = message.get("metadata")
    if metadata is not None and len(str(metadata)) > 1000:
        raise too_long("message[metadata]", 1000)
    _check_quick_replies(message)
    if len(attachments) > 1 and (account.kind != "instagram" or len(attachments) > 10):
        raise bad("Too many attachments.")
    for attachment in attachments:
        _check_attachment(account, as_object(attachment), with_file=with_file)


def _check_length(account: Account, text: str) -> None:
    if account.kind == "messenger" and len(text) > 2000:
        raise too_long("message[text]", 2000)
    if account.kind == "instagram" and len(text.encode()) > 1000:
        raise too_long("message[text]", 1000)


def _check_quick_replies(message: JsonObject) -> None:
    if "quick_replies" not in message:
        return
    replies = [as_object(reply) for reply in as_list(message["quick_replies"])]
    if not 1 <= len(replies) <= 13:
        raise bad("Param message[quick_replies] must have between 1 and 13 elements.")
    for reply in replies:
        kind = reply.get("content_type")
        if kind not in ("text", "user_phone_number", "user_email"):
            raise bad("Param content_type of a quick reply must be one of {text, user_phone_number, user_email}")
        if kind != "text":
            continue
        title, payload = as_text(reply.get("title")), as_text(reply.get("payload"))
        if not title or payload is None:
            raise bad("A quick reply of type text needs title and payload.")
        if len(title) > 20:
            raise too_long("message[quick_replies][title]", 20)
        if len(payload) > 1000:
            raise too_long("message[quick_replies][payload]", 1000)


def _check_attachment(account: Account, attachment: JsonObject, *, with_file: bool) -> None:
    kind, payload = as_text(attachment.get("type")), as_object(attachment.get("payload"))
    if account.kind == "instagram" and kind in ("like_heart", "MEDIA_SHARE"):
        if kind == "MEDIA_SHARE" and not payload.get("id"):
            raise bad("The parameter payload[id] is required")
        return
    if account.kind == "messenger" and kind == "sticker":
        return
    if kind == "template":
        _check_template(account, payload)
        return
    if kind not in MEDIA_ATTACHMENTS:
        raise bad("Param message[attachment][type] must be one of {AUDIO, FILE, IMAGE, TEMPLATE, VIDEO}")
    url, attachment_id = as_text(payload.get("url")), as_text(payload.get("attachment_id"))
    if (url is not None) + (attachment_id is not None) + with_file != 1:
        raise bad("An attachment needs exactly one of url, attachment_id and filedata.")
    if url is not None and not url.startswith(("http://", "https://")):
        raise bad("message[attachment][payload][url] should represent a valid URL")


def _check_template(account: Account, payload: JsonObject) -> None:
    match payload.get("template_type"):
        case "button":
            text = as_text(payload.get("text"))
            if not text or len(text) > 640:
                raise bad("The text of a button template must have between 1 and 640 characters.")
            _check_buttons(account, payload, least=1)
        case "generic":
            elements = [as_object(element) for element in as_list(payload.get("elements"))]
            if not 1 <= len(elements) <= 10:
                raise bad("A generic template must have between 1 and 10 elements.")
            for element in elements:
                title = as_text(element.get("title"))
                if not title or len(title) > 80 or len(as_text(element.get("subtitle")) or "") > 80:
                    raise bad("An element needs a title; title and subtitle have at most 80 characters.")
                _check_buttons(account, element, least=0)
        case "media" | "product" | "receipt" | "coupon" | "image_grid" | "customer_feedback":
            return
        case kind:
            raise bad(f"Unknown template_type {kind}")


def _check_buttons(account: Account, holder: JsonObject, *, least: int) -> None:
    buttons = [as_object(button) for button in as_list(holder.get("buttons"))]
    if not least <= len(buttons) <= 3:
        raise bad(f"A template must have between {least} and 3 buttons.")
    allowed = {"web_url", "postback"}
    if account.kind == "messenger":
        allowed |= {"phone_number", "account_link", "account_unlink"}
    for button in buttons:
        if button.get("type") not in allowed:
            raise bad(f"Param type of a button must be one of {{{', '.join(sorted(allowed))}}}")
        title = as_text(button.get("title")) or ""
        if len(title) > 20:
            raise too_long("button[title]", 20)
        payload = as_text(button.get("payload"))
        if button["type"] == "postback" and (not title or not payload or len(payload) > 1000):
            raise bad("A postback button needs a title and a payload of at most 1000 characters.")
        if button["type"] == "web_url" and not as_text(button.get("url")):
            raise bad("A web_url button needs a url.")
