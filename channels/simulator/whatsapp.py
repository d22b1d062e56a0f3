"""WhatsApp's webhooks: what customers do and how messages of the business fare (facts, 1.2)."""

from __future__ import annotations

from channels.simulator import wire
from channels.simulator.schemas import NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.template_sends import category_of
from channels.simulator.whatsapp_acts import CLOSED, TAPS, act_of, change, media_about
from channels.simulator.whatsapp_errors import error_object
from channels.simulator.whatsapp_people import ids, sender, value_of
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject, JsonValue


class WhatsAppVoice:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    # --- Customers ----------------------------------------------------------------------------------------------------

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        if wish.kind == "raw":
            self._simulation.emit(account, customer, "raw", dict(wish.raw or {}), part="changes")
            return None
        if customer.shut_out:
            return None  # the business has blocked them: WhatsApp tells it nothing (facts, 1.7)
        match wish.kind:
            case "opt_out" | "opt_in":
                self._preference(account, customer, stop=wish.kind == "opt_out")
                return None
            case "block" | "unblock":
                customer.blocked = wish.kind == "block"  # no event exists for this (facts, 1.2)
                return None
            case "link_click":
                self._link_click(account, customer, wish)
                return None
            case "call":
                self._call(account, customer, wish)
                return None
        return self._message(account, customer, wish)

    def _message(self, account: Account, customer: Customer, wish: SayWish) -> Message:
        at = wish.at or self._simulation.world.now()
        target = account.find_message(customer.id, wish.message_id) if wish.message_id else None
        act = act_of(self._simulation, account, customer, wish, target)
        message_id = wire.whatsapp_message_id(customer.id)
        frame: JsonObject = {**sender(customer), "id": message_id, "timestamp": str(int(at)), "type": act.type}
        body = frame | act.body
        context = self._context(account, customer, wish, target)
        if context:
            body["context"] = context
        if wish.referral is not None:
            body["referral"] = wish.referral
        group = self._simulation.group_of(account, wish)
        if group is not None:
            body["group_id"] = group.id
            group.wrote_at = at
            group.members[customer.id] = None
        value = value_of(account, customer if act.with_contacts else None)
        value["messages"] = [body]
        if act.errors:
            value["errors"] = [*act.errors]
        self._emit(account, customer, "message", value, field="standby" if wish.standby else "messages")
        if wish.kind in ("number_changed", "user_id_changed"):
            change(self._simulation, account, customer, wish)
        message = Message(message_id, customer.id, True, wish.kind, wish.text, body, at, reply_to=wish.reply_to)
        return self._simulation.heard(account, customer, message, opens=wish.kind not in CLOSED)

    def _context(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None
    ) -> JsonObject | None:
        if wish.frequently_forwarded:
            return {"frequently_forwarded": True}
        if wish.forwarded:
            return {"forwarded": True}
        product: JsonObject = {"referred_product": wish.referred_product} if wish.referred_product else {}
        quoted = wish.reply_to or (target.id if target and wish.kind in TAPS else None)
        if quoted is None:
            return {"from": account.display_phone_number, **product} if product else None
        message = account.find_message(customer.id, quoted)
        if message is not None and message.incoming:
            return {**sender(customer), "id": quoted, **product}
        return {"from": account.display_phone_number, "id": quoted, **product}

    def _preference(self, account: Account, customer: Customer, *, stop: bool) -> None:
        customer.marketing_stopped = stop
        value = value_of(account, customer)
        value["user_preferences"] = [{
            **ids(customer, phone="wa_id", user="user_id"),
            "detail": "User requested to stop marketing messages" if stop else "User requested to resume",
            "category": "marketing_messages",
            "value": "stop" if stop else "resume",
            "timestamp": int(self._simulation.world.now()),
        }]  # fmt: skip
        self._emit(account, customer, "preference", value, field="user_preferences")

    def _link_click(self, account: Account, customer: Customer, wish: SayWish) -> None:
        """On field ``messages``, with neither messages nor contacts; the set of types is open."""
        kind = wish.payload or "marketing_messages_link_click"
        value = value_of(account, None)
        value["user_actions"] = [{
            **ids(customer, phone="wa_id", user="user_id"),
            "timestamp": str(int(self._simulation.world.now())),
            "action_type": kind,
            f"{kind}_data": {"click_id": wire.digits_id(16), "click_component": "CTA", "tracking_token": "token-1"},
        }]  # fmt: skip
        self._emit(account, customer, "user action", value)

    def _call(self, account: Account, customer: Customer, wish: SayWish) -> None:
        """A call opens the window as a message does (facts, 1.5). ``payload`` is the event: connect, terminate."""
        now = self._simulation.world.now()
        event = wish.payload or "connect"
        value = value_of(account, customer)
        value["calls"] = [{
            "id": f"wacid.{wire.digits_id(16)}",
            **sender(customer),
            "to": account.display_phone_number,
            "event": event,
            "direction": "USER_INITIATED",
            "timestamp": str(int(now)),
            **({"status": "COMPLETED", "duration": 30} if event == "terminate" else {}),
        }]  # fmt: skip
        customer.wrote_at = max(customer.wrote_at or 0.0, now)
        self._emit(account, customer, "call", value, field="calls")

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        """From the phone app of the same number (coexistence): told by ``smb_message_echoes``."""
        message_id, at = wire.whatsapp_message_id(customer.id), self._simulation.world.now()
        kind, body = self._native_body(account, customer, wish)
        echo: JsonObject = {
            "from": account.display_phone_number,
            **ids(customer, phone="to", user="to_user_id"),
            "id": message_id,
            "timestamp": str(int(at)),
            "type": kind,
            **body,
        }
        if wish.reply_to:
            echo["context"] = {"id": wish.reply_to}
        value = value_of(account, customer)
        value["message_echoes"] = [echo]
        self._emit(account, customer, "echo", value, field="smb_message_echoes")
        message = Message(
            message_id, customer.id, False, wish.kind, wish.text, echo, at, native=True, reply_to=wish.reply_to
        )
        return self._simulation.world.add_message(account, customer, message)

    def _native_body(self, account: Account, customer: Customer, wish: NativeWish) -> tuple[str, JsonObject]:
        if wish.kind in ("edit", "unsend"):
            target = account.find_message(customer.id, wish.message_id or "")
            if target is None or target.incoming:
                raise SayError(f"{wish.kind} needs the message_id of a message of the business")
            if wish.kind == "unsend":
                target.deleted = True
                return "revoke", {"revoke": {"original_message_id": target.id}}
            target.text, target.edits = wish.text, target.edits + 1
            inner: JsonObject = {"type": "text", "text": {"body": wish.text or ""}}
            return "edit", {"edit": {"original_message_id": target.id, "message": inner}}
        if wish.kind == "text":
            return "text", {"text": {"body": wish.text or ""}}
        said = SayWish(account_id=wish.account_id, kind=wish.kind, text=wish.text)
        kind, about = media_about(self._simulation, account, said)
        return kind, {kind: about}

    def stages(self, message: Message) -> tuple[Status, ...]:
        if message.error_code is not None:
            return ("failed",)
        if message.kind == "reaction":
            return ("sent",)
        return ("sent", "delivered", "read")

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        if status == "failed":
            message.status = "failed"
        message.raise_status(status)
        if not customer.is_group:
            who = ids(customer, phone="recipient_id", user="recipient_user_id")
            self._status(account, customer, message, status, who)
            return
        named: JsonObject = {"recipient_type": "group", "recipient_id": customer.id}
        people = [account.customers[each] for each in customer.members if each in account.customers]
        if status in ("sent", "failed") or not people:
            self._status(account, customer, message, status, named)
            return
        for person in people:  # who of the group got it, one status each
            who = ids(person, phone="recipient_participant_id", user="recipient_participant_user_id")
            self._status(account, customer, message, status, {**named, **who})

    def _status(
        self, account: Account, customer: Customer, message: Message, status: Status, recipient: JsonObject
    ) -> None:
        about: JsonObject = {
            "id": message.id,
            "status": status,
            "timestamp": str(int(self._simulation.world.now())),
            **recipient,
        }
        if message.correlation is not None:
            about["biz_opaque_callback_data"] = message.correlation
        if status == "failed":
            about["errors"] = [error_object(message.error_code or 131000)]
            if "recipient_id" in about:
                about.pop("recipient_user_id", None)  # left out of failures, as the contact is
        elif status in ("sent", "delivered"):
            category: JsonValue = category_of(account, message.content) if message.kind == "template" else "service"
            about["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": category}
        with_contacts = status != "failed" and not customer.is_group
        value = value_of(account, customer if with_contacts else None)
        value["statuses"] = [about]
        self._emit(account, customer, f"status {status}", value, receipt=True)

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def _emit(
        self, account: Account, customer: Customer, kind: str, value: JsonObject, *, field: str = "messages",
        receipt: bool = False,
    ) -> None:  # fmt: skip
        item: JsonObject = {"field": field, "value": value}
        self._simulation.emit(account, customer, kind, item, part="changes", receipt=receipt)
