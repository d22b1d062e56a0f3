"""What only Instagram's webhooks have: stories, unsends, senderless edits, reads by mid (facts, 3.2)."""

from __future__ import annotations

from channels.simulator import page_events, wire
from channels.simulator.page_voice import PageVoice
from channels.simulator.schemas import SayWish
from channels.simulator.simulation import SayError
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject

_POST_ID, _REEL_ID = "17900000000000001", "17900000000000002"


class InstagramVoice(PageVoice):
    product = "Instagram"
    topics = {  # noqa: RUF012 - declared ClassVar by the base
        "message": "messages", "unsend": "messages", "echo": "messages", "edit": "message_edit",
        "edit trap": "message_edit", "reaction": "message_reactions", "postback": "messaging_postbacks",
        "referral": "messaging_referral", "optin": "messaging_optins", "read": "messaging_seen",
    }  # fmt: skip
    start_title = "Start"
    referral_source = "SHORTLINKS"

    def new_mid(self) -> str:
        return wire.instagram_message_id()

    def before_message(self, account: Account, customer: Customer, mid: str, at: float) -> None:
        """New messages may be announced by an edit that names nobody."""
        if not account.edit_trap:
            return
        trap: JsonObject = {
            "timestamp": page_events.moment(account, at),
            "message_edit": {"mid": mid, "num_edit": page_events.number(account, 0)},
        }
        self._emit(account, customer, "edit trap", trap)

    def own_act(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None
    ) -> tuple[str, JsonObject] | None:
        if wish.kind != "unsend":
            return None
        if target is None or not target.incoming:
            raise SayError("unsend needs the message_id of a message of this customer")
        target.deleted = True
        return "unsend", {"message": {"mid": target.id, "is_deleted": True}}

    def own_message(self, account: Account, wish: SayWish) -> JsonObject | None:
        match wish.kind:
            case "story_reply":
                story: JsonObject = {"url": self._story_url(account, wish), "id": wish.story.id}
                return {"text": wish.text or "", "reply_to": {"story": story}}
            case "unsupported":
                return {"is_unsupported": True}
        return None

    def _story_url(self, account: Account, wish: SayWish) -> str:
        picture = wish.model_copy(update={"kind": "image", "url": wish.story.url})
        return page_events.attachment_url(self._simulation, account, picture)

    def own_attachment(self, account: Account, wish: SayWish) -> JsonObject | None:
        match wish.kind:
            case "story_mention":
                return {"type": "story_mention", "payload": {"url": self._story_url(account, wish)}}
            case "like_heart":
                return {"type": "like_heart"}
            case "ephemeral":
                return {"type": "ephemeral"}
            case "share" | "post":
                url = wish.url or "https://www.instagram.example/p/abc"
                about: JsonObject = {"url": url, "ig_post_media_id": _POST_ID}
                return {"type": wish.payload or "ig_post", "payload": about | _titled(wish)}
            case "reel":
                url = wish.url or "https://www.instagram.example/reel/abc"
                reel: JsonObject = {"url": url, "reel_video_id": _REEL_ID}
                return {"type": wish.payload or "ig_reel", "payload": reel | _titled(wish)}
            case "story":
                return {"type": wish.payload or "ig_story", "payload": {"url": self._story_url(account, wish)}}
        return None

    def echo_extra(self, account: Account, message: Message) -> JsonObject:
        """Nothing by which a sender could know its own message, except text and time."""
        return {}

    def stages(self, message: Message) -> tuple[Status, ...]:
        return ("read",)

    def receipt_content(self, message: Message, status: Status) -> JsonObject:
        return {"read": {"mid": message.id}}


def _titled(wish: SayWish) -> JsonObject:
    return {"title": wish.title} if wish.title else {}
