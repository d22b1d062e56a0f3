"""What a Telegram user puts into a message: one content field and what stands around it (facts, 4.2)."""

from __future__ import annotations

import json

from channels.simulator import wire
from channels.simulator.samples import sample
from channels.simulator.schemas import MEDIA_KINDS, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.telegram_shapes import (
    channel_object,
    found_entities,
    live_photo_object,
    media_object,
    origin_object,
    photo_sizes,
    poll_object,
)
from channels.simulator.telegram_text import utf16_length
from channels.simulator.world import Account, Customer, Media, Message
from channels.types import JsonObject, JsonValue

_START_PAYLOAD = 64
_STICKERS = {"static": "image/webp", "animated": "application/x-tgsticker", "video": "video/webm"}


def said_text(wish: SayWish, text: str) -> JsonObject:
    return _worded(wish, "text", "entities", text)


def said_caption(wish: SayWish) -> JsonObject:
    caption: JsonObject = {}
    if wish.text and wish.kind not in ("sticker", "video_note"):
        caption = _worded(wish, "caption", "caption_entities", wish.text)
    if wish.telegram.spoiler:
        caption["has_media_spoiler"] = True
    return caption


def _worded(wish: SayWish, key: str, entities_key: str, text: str) -> JsonObject:
    given = wish.telegram.entities
    entities: list[JsonValue] = [*given] if given is not None else found_entities(text)
    return {key: text, **({entities_key: entities} if entities else {})}


class TelegramSaid:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def content(self, account: Account, customer: Customer, wish: SayWish) -> JsonObject:
        """Raises ``SayError`` for what Telegram users cannot do."""
        match wish.kind:
            case "text" | "quick_reply":
                return said_text(wish, wish.text or wish.title or "")
            case "start":
                if len(wish.payload or "") > _START_PAYLOAD:
                    raise SayError(f"a deep link carries at most {_START_PAYLOAD} characters")
                return said_text(wish, f"/start {wish.payload}" if wish.payload else "/start")
            case kind if kind in MEDIA_KINDS:
                media = self._media(account, wish)
                return {**media_object(kind, media, wish.telegram.sticker), **said_caption(wish)}
            case "live_photo":
                return {**live_photo_object(self._sample(account, "video"), self._still(account)), **said_caption(wish)}
            case "location":
                return _place(wish)
            case "contact":
                return {"contact": _card(customer, wish)}
        return self._special(account, customer, wish)

    def _special(self, account: Account, customer: Customer, wish: SayWish) -> JsonObject:
        details, words = wish.telegram, wish.text or wish.title or "Something"
        still = list[JsonValue]
        match wish.kind:
            case "poll":
                return {"poll": poll_object(wire.digits_id(18), words, details.options)}
            case "dice":
                return {"dice": {"emoji": "🎲", "value": min(max(details.value, 1), 6)}}
            case "game":
                shown: still = photo_sizes(self._still(account))
                return {"game": {"title": words, "description": "A simulated game", "photo": shown}}
            case "share_story":
                return {"story": {"chat": channel_object(), "id": details.story or 9}}
            case "paid_media":
                photo: JsonObject = {"type": "photo", "photo": photo_sizes(self._still(account))}
                hidden: JsonObject = {"type": "preview", "width": 160, "height": 100}
                info: JsonObject = {"star_count": details.value, "paid_media": [photo, hidden]}
                return {"paid_media": info, **said_caption(wish)}
            case "checklist":
                now = int(self._simulation.world.now())
                tasks: list[JsonValue] = [{"id": n, "text": text} for n, text in enumerate(details.options, 1)]
                first: JsonObject = {"id": 1, "text": details.options[0], "completion_date": now}
                return {"checklist": {"title": words, "tasks": [first, *tasks[1:]]}}
            case "invoice":
                price: JsonObject = {"start_parameter": "x", "currency": "EUR", "total_amount": 500}
                return {"invoice": {"title": words, "description": "Simulated", **price}}
            case "payment":
                ids: JsonObject = {"telegram_payment_charge_id": "t1", "provider_payment_charge_id": "p1"}
                paid: JsonObject = {"currency": "EUR", "total_amount": 500, "invoice_payload": wish.payload or "order"}
                return {"successful_payment": {**paid, **ids}}
            case "web_app":
                data = wish.payload or json.dumps({"answer": words})
                return {"web_app_data": {"data": data, "button_text": wish.title or "Open"}}
            case "rich":
                heading: JsonObject = {"type": "heading", "text": words, "size": 1}
                return {"rich_message": {"blocks": [heading, {"type": "paragraph", "text": ["Simulated ", "words"]}]}}
            case "service":
                return {**(details.service or {"new_chat_title": words})}
            case "unsupported":
                return {wish.payload or "game": {"title": "A game", "description": "", "photo": []}}
            case _:
                raise SayError(f"Telegram users cannot do {wish.kind}")

    def around(self, room: Customer, wish: SayWish, quoted: Message | None, at: float) -> JsonObject:
        """Replies, forwards, topics: what any message can have beside its content."""
        details = wish.telegram
        around: JsonObject = {}
        if quoted is not None:
            around["reply_to_message"] = {k: v for k, v in quoted.content.items() if k != "reply_to_message"}
        if details.reply_from is not None:
            origin = origin_object(details.reply_from, at)
            about: JsonObject = {"origin": origin}
            if details.reply_from == "channel":
                about |= {"chat": origin["chat"], "message_id": origin["message_id"]}
            around["external_reply"] = about
        if details.quote is not None:
            around["quote"] = _quote(details.quote, quoted)
        if details.story is not None and wish.kind != "share_story":
            around["reply_to_story"] = {"chat": channel_object(), "id": details.story}
        if wish.forwarded or details.forwarded_from is not None:
            around["forward_origin"] = origin_object(details.forwarded_from or "hidden_user", at)
        if details.topic is not None:
            around |= {"message_thread_id": details.topic, "is_topic_message": True}
        if details.offline:
            around["is_from_offline"] = True
        if wish.media_group_id:
            around["media_group_id"] = wish.media_group_id
        return around

    # --- Files --------------------------------------------------------------------------------------------------------

    def _media(self, account: Account, wish: SayWish) -> Media:
        if wish.kind == "sticker" and wish.mime_type is None:
            wish = wish.model_copy(update={"mime_type": _STICKERS[wish.telegram.sticker]})
        return self._simulation.media_of(account, wish)

    def _sample(self, account: Account, kind: str) -> Media:
        return self._simulation.world.add_media(account, kind, "video/mp4", f"{kind}.mp4", sample(kind))

    def _still(self, account: Account) -> Media:
        return self._simulation.world.add_media(account, "image", "image/png", "image.png", sample("image"))


def _quote(words: str, quoted: Message | None) -> JsonObject:
    """The position is where the words stand in the quoted text; the chosen stretch must be in it."""
    whole = (quoted.text or "") if quoted is not None else words
    if words not in whole:
        raise SayError("the quote is no part of the message it quotes")
    return {"text": words, "position": utf16_length(whole[: whole.index(words)]), "is_manual": True}


def _place(wish: SayWish) -> JsonObject:
    place: JsonObject = {"latitude": wish.latitude, "longitude": wish.longitude}
    if wish.place_name is not None:
        venue: JsonObject = {"location": place, "title": wish.place_name, "address": wish.address or ""}
        return {"venue": venue, "location": place}
    if wish.telegram.live_period is not None:
        place |= {"live_period": wish.telegram.live_period, "heading": 90}
    return {"location": place}


def _card(customer: Customer, wish: SayWish) -> JsonObject:
    first, _, last = wish.contact.name.partition(" ")
    card: JsonObject = {"phone_number": wish.contact.phone, "first_name": first}
    card |= {"last_name": last} if last else {}
    if customer.phone and wish.contact.phone.lstrip("+") == customer.phone:
        card["user_id"] = int(customer.id)
    return card


def author_of(account: Account, customer: Customer, room: Customer, wish: SayWish, user: JsonObject) -> JsonObject:
    """``from``, and the chat instead of a person for an anonymous administrator of a group."""
    if not (room.is_group and wish.telegram.anonymous):
        return {"from": user}
    stand_in: JsonObject = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    group: JsonObject = {"id": int(room.id), "type": "supergroup", "title": room.name}
    return {"from": stand_in, "sender_chat": group}


def give_profile(
    simulation: Simulation, account: Account, customer: Customer, bio: str | None, photo: bool | None
) -> None:
    """What ``getChat`` tells of a person or group."""
    if bio is not None:
        customer.chat.bio = bio or None
    if photo is not None:
        media = simulation.world.add_media(account, "image", "image/png", "me.png", sample("image")) if photo else None
        customer.chat.photo = media.id if media else None
