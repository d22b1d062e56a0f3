"""The part of the control API that plays Meta itself: events, standing of an account, templates, time passing."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.simulator import page_provider, whatsapp_events, wire
from channels.simulator.control_wire import ControlError, answer, query_field, read_body
from channels.simulator.provider_wishes import (
    PROVIDER_EVENT,
    AgeWish,
    ProviderEvent,
    RawEvent,
    StateWish,
    TemplateWish,
)
from channels.simulator.schemas import refusal
from channels.simulator.simulation import Simulation
from channels.simulator.template_sends import find_template
from channels.simulator.world import HOUR, Account, UnknownError
from channels.types import JsonObject

_PLAIN_STATES = (
    "quality_rating", "number_status", "messaging_limit", "messaging_access", "restricted", "profile_access",
    "pair_rate", "block_limit",
)  # fmt: skip


class ProviderControl:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    def routes(self) -> list[Route]:
        return [
            Route("/events", self.event, methods=["POST"]),
            Route("/state", self.state, methods=["POST"]),
            Route("/age", self.age, methods=["POST"]),
            Route("/templates", self.define_template, methods=["POST"]),
            Route("/templates", self.templates, methods=["GET"]),
        ]

    def _meta_account(self, account_id: str) -> Account:
        account = self._world.get_account(account_id)
        if account.kind == "telegram":
            raise ControlError("this is about Meta's products")
        return account

    # --- Events -------------------------------------------------------------------------------------------------------

    async def event(self, request: Request) -> Response:
        try:
            wish = PROVIDER_EVENT.validate_json(await request.body() or b"{}")
        except ValidationError as error:
            raise ControlError(refusal(error)) from None
        return answer({"id": self._tell(self._meta_account(wish.account_id), wish)})

    def _tell(self, account: Account, wish: ProviderEvent) -> str | None:
        if isinstance(wish, RawEvent):
            item: JsonObject = {"field": wish.field, "value": wish.value}
            self._simulation.announce(account, "raw", item, part="entry" if wish.flat else "changes")
            return None
        if account.kind == "whatsapp":
            whatsapp_events.tell(self._simulation, account, wish)
            return None
        return page_provider.tell(self._simulation, account, wish)

    # --- Standing -----------------------------------------------------------------------------------------------------

    async def state(self, request: Request) -> Response:
        wish = await read_body(request, StateWish)
        account = self._meta_account(wish.account_id)
        meta, now = account.meta, self._world.now()
        for name in _PLAIN_STATES:
            value = getattr(wish, name)
            if value is not None:
                setattr(meta, name, value)
        if wish.subscribed is not None:
            account.subscribed = wish.subscribed
        if wish.scopes is not None:
            meta.token.scopes = frozenset(wish.scopes)
        if wish.token_hours_old is not None:
            meta.token.issued_at = now - wish.token_hours_old * HOUR
        if wish.token_hours_left is not None:
            meta.token.expires_at = now + wish.token_hours_left * HOUR
        if wish.token_trouble is not None:
            meta.token.trouble = wish.token_trouble or None
        meta.link_seconds = wish.media_link_seconds if wish.media_link_seconds is not None else meta.link_seconds
        account.messages_per_second = wish.messages_per_second or account.messages_per_second
        return answer(_state(account))

    async def age(self, request: Request) -> Response:
        wish = await read_body(request, AgeWish)
        account, seconds = self._world.get_account(wish.account_id), wish.hours * HOUR
        given = [each for each in (wish.customer, wish.message_id, wish.comment_id, wish.media_id) if each is not None]
        if len(given) != 1:
            raise ControlError("name exactly one of customer, message_id, comment_id, media_id")
        if wish.customer is not None:
            customer = self._simulation.meet(account, wish.customer)
            if customer.wrote_at is not None:
                customer.wrote_at -= seconds
        elif wish.message_id is not None:
            found = [message for message in account.messages.values() if message.id == wish.message_id]
            if not found:
                raise UnknownError(f"no message {wish.message_id} of account {account.account_id}")
            found[0].at -= seconds
        elif wish.comment_id is not None:
            if wish.comment_id not in account.comments:
                raise UnknownError(f"no comment {wish.comment_id} of account {account.account_id}")
            account.comments[wish.comment_id].at -= seconds
        elif wish.media_id is not None:
            self._world.age_media(wish.media_id, seconds)
        return Response(status_code=204)

    # --- Templates ----------------------------------------------------------------------------------------------------

    async def define_template(self, request: Request) -> Response:
        wish = await read_body(request, TemplateWish)
        account = self._meta_account(wish.account_id)
        known = find_template(account, wish.name, wish.language)
        template: JsonObject = {
            "id": known["id"] if known else wire.digits_id(15),
            **wish.model_dump(exclude={"account_id"}),
        }
        if known is not None:
            account.templates.remove(known)
        account.templates.append(template)
        return answer(template, 201)

    async def templates(self, request: Request) -> Response:
        account = self._meta_account(query_field(request, "account_id"))
        return answer({"templates": [*account.templates]})


def _state(account: Account) -> JsonObject:
    meta = account.meta
    chosen = meta.subscribed_fields
    callbacks: JsonObject = {}
    for level, url in meta.callbacks.items():
        callbacks[level] = url
    return {
        **{name: getattr(meta, name) for name in _PLAIN_STATES},
        "subscribed": account.subscribed,
        "subscribed_fields": [*sorted(chosen)] if chosen is not None else None,
        "callback_url": account.callback_url,
        "callbacks": callbacks,
        "throughput": meta.throughput,
        "name_status": meta.name_status,
        "review_status": meta.review_status,
        "token_issued_at": meta.token.issued_at,
        "token_expires_at": meta.token.expires_at,
        "token_refreshes": len(meta.token.former),
        "blocked_customers": [*meta.block_list],
    }
