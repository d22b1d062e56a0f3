"""What the Send API of Messenger and Instagram refuses at once (facts, 2.3, 2.4, 3.3, 3.4)."""

from __future__ import annotations

from channels.simulator.faults import Fault
from channels.simulator.graph_errors import GraphError, bad, throttled
from channels.simulator.page_recipients import Recipient
from channels.simulator.page_templates import check_template, too_long
from channels.simulator.template_sends import check_template as check_filled
from channels.simulator.template_sends import find_template
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, World
from channels.types import JsonObject

RETIRED_TAGS = frozenset({"CONFIRMED_EVENT_UPDATE", "ACCOUNT_UPDATE", "POST_PURCHASE_UPDATE"})
MESSAGING_TYPES = frozenset({"RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"})
SENDER_ACTIONS = frozenset({"typing_on", "typing_off", "mark_seen", "react", "unreact"})
MEDIA_ATTACHMENTS = frozenset({"image", "audio", "video", "file"})


LOST_ANSWER = (1, 1357046)
"""An error that is answered although the message was sent (facts, 2.5)."""


def check_standing(account: Account) -> None:
    """Whether the account may write to anybody."""
    if account.meta.restricted:
        if account.kind == "messenger":
            raise GraphError(10, "(#10) The Page is restricted from sending messages", subcode=1893063)
        raise GraphError(368, "(#368) The action attempted has been deemed abusive or is otherwise disallowed")
    if not account.meta.messaging_access:
        raise GraphError(200, "(#200) Messaging access is turned off by the owner", subcode=2534041, status=403)


def check_media_rate(world: World, account: Account, message: JsonObject) -> None:
    """Sound and film have a limit of their own (facts, 2.4, 3.4)."""
    rate, sent = account.meta.media_per_second, account.meta.media_sent
    if rate is None or as_object(message.get("attachment")).get("type") not in ("audio", "video"):
        return
    while sent and world.now() - sent[0] >= 1.0:
        sent.popleft()
    if len(sent) >= rate:
        raise throttled(account, Fault("api", "throttle", retry_after=1))
    sent.append(world.now())


def check_reachable(account: Account, customer: Customer) -> None:
    if customer.blocked or customer.shut_out or not customer.reachable:
        raise GraphError(551, "(#551) This person isn't available right now.", subcode=1545041)
    code, subcode = customer.send_error, customer.send_subcode
    if code is not None and (code, subcode) != LOST_ANSWER:
        raise wished(code, subcode)
    if customer.thread_owner is not None:
        message = "Another app is controlling this thread now."
        if account.kind == "messenger":
            raise GraphError(10, f"(#10) {message}", subcode=2018300)
        raise bad(message, subcode=2534037)


def wished(code: int, subcode: int | None) -> GraphError:
    transient = code in (1, 2)
    status = 500 if transient else 401 if code == 190 else 400
    return GraphError(code, f"(#{code}) Message not sent", subcode=subcode, status=status, transient=transient)


def check_window(world: World, account: Account, recipient: Recipient, fields: JsonObject) -> None:
    """24 hours; seven days for a person's reply under HUMAN_AGENT; utility templates at any time on Messenger."""
    customer = recipient.customer
    kind, tag = as_text(fields.get("messaging_type")), as_text(fields.get("tag"))
    if kind is not None and kind not in MESSAGING_TYPES:
        raise bad("Param messaging_type must be one of {RESPONSE, UPDATE, MESSAGE_TAG, UTILITY}")
    if recipient.windowless:
        return
    if kind == "MESSAGE_TAG" and tag is None:
        raise bad("The parameter tag is required when messaging_type is MESSAGE_TAG")
    if tag in RETIRED_TAGS:
        raise bad("Invalid message tag. This tag is no longer supported; use utility templates")
    if tag is not None and tag != "HUMAN_AGENT":
        raise bad("Param tag must be one of {HUMAN_AGENT}")
    if kind == "UTILITY" and account.kind == "messenger":
        return  # its template was checked with the message
    if world.window_age(customer) > (7 * DAY if tag == "HUMAN_AGENT" else DAY):
        subcode = 2018278 if account.kind == "messenger" else 2534022
        raise GraphError(10, "(#10) This message is sent outside of allowed window.", subcode=subcode)


def check_utility(world: World, account: Account, fields: JsonObject, message: JsonObject) -> None:
    """An approved utility template of the Page, filled as it is defined, and nothing else (facts, 2.4)."""
    template, utility = message.get("template"), fields.get("messaging_type") == "UTILITY"
    if template is None and not utility:
        return
    if account.kind != "messenger" or not utility or not isinstance(template, dict):
        raise bad("A message[template] is sent with messaging_type UTILITY, on Messenger, and with nothing else")
    if "text" in message or "attachment" in message:
        raise bad("A utility message cannot carry text or attachment beside its template.")
    name, language = as_text(template.get("name")) or "", as_text(as_object(template.get("language")).get("code")) or ""
    found = find_template(account, name, language)
    if found is not None and found.get("category") != "UTILITY":
        raise bad(f"Message template {name} is not a utility template")
    try:
        check_filled(world, account, template)
    except GraphError as error:
        raise bad(error.details or error.message) from None


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
    if len(attachments) > 1:
        _check_album(account, [as_object(attachment) for attachment in attachments])
    for attachment in attachments:
        _check_attachment(account, as_object(attachment), with_file=with_file)


def _check_album(account: Account, attachments: list[JsonObject]) -> None:
    """Instagram takes several pictures in one message (facts, 3.3)."""
    if account.kind != "instagram" or len(attachments) > 10:
        raise bad("Too many attachments.")
    if any(attachment.get("type") != "image" for attachment in attachments):
        raise bad("Several attachments of one message must all be images.")


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
        if not payload.get("sticker_id"):
            raise bad("The parameter payload[sticker_id] is required")
        return
    if kind == "template":
        check_template(account, payload)
        return
    if kind not in MEDIA_ATTACHMENTS:
        raise bad("Param message[attachment][type] must be one of {AUDIO, FILE, IMAGE, TEMPLATE, VIDEO}")
    url, attachment_id = as_text(payload.get("url")), as_text(payload.get("attachment_id"))
    if (url is not None) + (attachment_id is not None) + with_file != 1:
        raise bad("An attachment needs exactly one of url, attachment_id and filedata.")
    if url is not None and not url.startswith(("http://", "https://")):
        raise bad("message[attachment][payload][url] should represent a valid URL")
