"""Statuses of messages we sent, and what people say they want to receive (channel facts, section 1.2)."""

from __future__ import annotations

from typing import Final, get_args

from channels.inbound import DeliveryStatus, Inbound, PreferenceChanged, StatusReported
from channels.types import JsonObject
from channels.whatsapp.errors import fault_of_webhook
from channels.whatsapp.people import group_of, person_of
from channels.whatsapp.scope import Scope
from channels.wire import LONG, SHORT, as_id, as_text

_STATUSES: Final[dict[str, DeliveryStatus]] = {name: name for name in get_args(DeliveryStatus)}
_WANTED: Final = {"stop": False, "resume": True, "signup": True}


def status(scope: Scope, item: JsonObject) -> list[Inbound]:
    """One element of ``statuses``. Other states than ours (``deleted``, ``warning``) stay visible as unsupported."""
    name = item.get("status")
    known = _STATUSES.get(name) if isinstance(name, str) else None
    external_id = as_id(item.get("id"))
    if known is None or external_id is None:
        return [scope.unsupported(f"status:{as_text(name, SHORT)}", item)]
    if item.get("recipient_type") == "group":
        peer = group_of(item.get("recipient_id"))
    else:
        ids = (item.get("recipient_id"), item.get("recipient_user_id"))
        peer = person_of(ids, scope.contacts.find(*ids), parent=item.get("recipient_parent_user_id"))
    return [
        StatusReported(
            account_id=scope.account_id,
            external_id=external_id,
            status=known,
            occurred_at=scope.time_of(item),
            fault=fault_of_webhook(item.get("errors")) if known == "failed" else None,
            correlation=as_id(item.get("biz_opaque_callback_data")),
            peer=peer,
        )
    ]


def preference(scope: Scope, item: JsonObject) -> list[Inbound]:
    """One element of ``user_preferences``."""
    ids = (item.get("wa_id"), item.get("user_id"))
    person = person_of(ids, scope.contacts.find(*ids), parent=item.get("parent_user_id"))
    value = item.get("value")
    wanted = _WANTED.get(value) if isinstance(value, str) else None
    if person is None or wanted is None:
        return [scope.unsupported("user_preferences", item)]
    category = as_text(item.get("category"), SHORT) or "marketing_messages"
    detail = as_text(item.get("detail"), LONG)
    return [PreferenceChanged(scope.account_id, person, category, wanted, scope.time_of(item), detail)]
