"""The control API: whoever tests or demonstrates plays the customers and the weather through it."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.simulator.accounts import account_of
from channels.simulator.chatter import Chatter
from channels.simulator.control_wire import ControlError, answer, query_field, query_limit, read_body
from channels.simulator.faults import Fault
from channels.simulator.schemas import (
    AccountWish,
    ChatterWish,
    CustomerWish,
    FaultWish,
    FlushWish,
    NativeWish,
    OutboxWish,
    ReadWish,
    ReceiptsWish,
    SayList,
    SayWish,
    refusal,
)
from channels.simulator.simulation import Simulation
from channels.simulator.telegram_api import BOT_TOKEN
from channels.simulator.telegram_said import give_profile
from channels.simulator.world import HOUR, Customer, Message, ReceiptPolicy
from channels.types import JsonObject


class Control:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self.chatter = Chatter(simulation, self._say)

    def routes(self) -> list[Route]:
        return [
            Route("/accounts", self.register, methods=["POST"]),
            Route("/accounts", self.accounts, methods=["GET"]),
            Route("/accounts/{account_id}", self.forget, methods=["DELETE"]),
            Route("/customers", self.customer, methods=["POST"]),
            Route("/customers", self.customers, methods=["GET"]),
            Route("/say", self.say, methods=["POST"]),
            Route("/read", self.read, methods=["POST"]),
            Route("/native", self.native, methods=["POST"]),
            Route("/inbox", self.inbox, methods=["GET"]),
            Route("/requests", self.requests, methods=["GET"]),
            Route("/receipts", self.receipts, methods=["POST"]),
            Route("/faults", self.add_fault, methods=["POST"]),
            Route("/faults", self.faults, methods=["GET"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/outbox", self.outbox, methods=["GET"]),
            Route("/outbox", self.tune_outbox, methods=["POST"]),
            Route("/outbox/flush", self.flush, methods=["POST"]),
            Route("/chatter", self.chat, methods=["POST"]),
            Route("/reset", self.reset, methods=["POST"]),
            Route("/health", self.health, methods=["GET"]),
        ]

    # --- Accounts and customers ---------------------------------------------------------------------------------------

    async def register(self, request: Request) -> Response:
        wish = await read_body(request, AccountWish)
        if wish.kind == "telegram" and not (
            wish.account_id.isdecimal() and BOT_TOKEN.fullmatch(wish.token) and wish.token.startswith(wish.account_id)
        ):
            raise ControlError("a bot's account_id is a number, and its token is account_id:secret (10 characters up)")
        if wish.verify and wish.kind != "telegram":
            if wish.webhook_url is None:
                raise ControlError("verify needs a webhook_url")
            trouble = await self._simulation.handshake(wish.webhook_url, wish.verify_token or "")
            if trouble is not None:
                raise ControlError(f"handshake refused: {trouble}")
        account = self._world.register(account_of(wish, self._world.now()))
        account.bot.privacy_mode, account.bot.flood_limits = wish.options.privacy_mode, wish.options.flood_limits
        self._simulation.outbox.wake()
        return answer({"account_id": account.account_id, "kind": account.kind, "waba_id": account.waba_id}, 201)

    async def accounts(self, request: Request) -> Response:
        return answer({
            "accounts": [
                {
                    "kind": account.kind,
                    "account_id": account.account_id,
                    "name": account.name,
                    "webhook_url": account.callback_url,
                    "customers": len(account.customers),
                    "messages": len(account.messages),
                }
                for account in self._world.accounts.values()
            ]
        })  # fmt: skip

    async def forget(self, request: Request) -> Response:
        self._world.forget(request.path_params["account_id"])
        return Response(status_code=204)

    async def customer(self, request: Request) -> Response:
        wish = await read_body(request, CustomerWish)
        account = self._world.get_account(wish.account_id)
        customer = self._simulation.meet(account, wish.customer)
        give_profile(self._simulation, account, customer, wish.bio, wish.photo)
        for state in ("reachable", "blocked", "marketing_stopped", "has_profile", "started", "send_subcode"):
            value = getattr(wish, state)
            if value is not None:
                setattr(customer, state, value)
        if wish.dialled is not None:
            account.handles[wish.dialled.lstrip("+")] = customer.id
        if wish.send_error is not None:
            customer.send_error = wish.send_error or None
        if wish.thread_owner is not None:
            customer.thread_owner = wish.thread_owner or None
        if wish.never_wrote:
            customer.wrote_at = None
        elif wish.wrote_hours_ago is not None:
            customer.wrote_at = self._world.now() - wish.wrote_hours_ago * HOUR
        return answer(_customer(customer))

    async def customers(self, request: Request) -> Response:
        account = self._world.get_account(query_field(request, "account_id"))
        return answer({"customers": [_customer(customer) for customer in account.customers.values()]})

    # --- Acts ---------------------------------------------------------------------------------------------------------

    async def say(self, request: Request) -> Response:
        """One act, or a list of them in order. A list is all or nothing only as far as its shape goes."""
        body = await request.body()
        try:
            if body.lstrip()[:1] == b"[":
                return answer({"said": [self._say(wish) for wish in SayList.validate_json(body)]})
            return answer(self._say(SayWish.model_validate_json(body)))
        except ValidationError as error:
            raise ControlError(refusal(error)) from None

    def _say(self, wish: SayWish) -> JsonObject:
        account = self._world.get_account(wish.account_id)
        customer = self._simulation.meet(account, wish.customer)
        message = self._simulation.voices[account.kind].say(account, customer, wish)
        said: JsonObject = {"id": message.id if message else None, "customer": customer.id}
        if message is not None and account.kind == "telegram":
            said["chat_id"] = message.customer_id
        return said

    async def read(self, request: Request) -> Response:
        """The customer reads what came in: receipts beyond the automatic ones."""
        wish = await read_body(request, ReadWish)
        account = self._world.get_account(wish.account_id)
        customer = self._simulation.meet(account, wish.customer)
        voice = self._simulation.voices[account.kind]
        until = self._world.get_message(account, customer, wish.message_id).at if wish.message_id else float("inf")
        unread = [
            message
            for message in customer.thread
            if not message.incoming and message.at <= until and message.status not in ("played", "failed")
        ]
        if not wish.played:
            unread = [message for message in unread if message.status != "read"]
        for message in unread:
            voice.receipt(account, customer, message, "played" if wish.played else "read")
        return answer({"read": [message.id for message in unread]})

    async def native(self, request: Request) -> Response:
        wish = await read_body(request, NativeWish)
        account = self._world.get_account(wish.account_id)
        customer = self._simulation.meet(account, wish.customer)
        message = self._simulation.voices[account.kind].native(account, customer, wish)
        return answer({"id": message.id, "customer": customer.id})

    async def inbox(self, request: Request) -> Response:
        """What a customer sees; with ``all=true`` their own messages too. Without a customer: the whole account."""
        account = self._world.get_account(query_field(request, "account_id"))
        reference, everything = request.query_params.get("customer"), request.query_params.get("all") == "true"
        people = [self._world.get_customer(account, reference)] if reference is not None else account.customers.values()
        messages = [message for customer in people for message in customer.thread if everything or not message.incoming]
        return answer({"messages": [_message(message) for message in sorted(messages, key=lambda each: each.at)]})

    async def requests(self, request: Request) -> Response:
        account_id, limit = request.query_params.get("account_id"), query_limit(request, 100)
        chosen = [each for each in self._simulation.exchanges if account_id in (None, each.account_id)]
        return answer({"requests": [asdict(each) for each in chosen[-limit:]] if limit > 0 else []})

    # --- Weather ------------------------------------------------------------------------------------------------------

    async def receipts(self, request: Request) -> Response:
        wish = await read_body(request, ReceiptsWish)
        policy = ReceiptPolicy(wish.auto, wish.delivered_after, wish.read_after, wish.order)
        if wish.account_id is None:
            self._world.receipts = policy
        else:
            self._world.get_account(wish.account_id).receipts = policy
        return answer(wish.model_dump())

    async def add_fault(self, request: Request) -> Response:
        wish = await read_body(request, FaultWish)
        if wish.kind == "up":
            lifted = self._simulation.faults.lift(scope=wish.scope, kind="down", account_id=wish.account_id)
            again = 0
            if wish.scope == "webhooks":
                again = self._simulation.outbox.redeliver(wish.redeliver, wish.account_id)
                self._simulation.outbox.wake()
            return answer({"lifted": lifted, "redelivered": again})
        seconds = wish.seconds if wish.seconds is not None else 60.0 if wish.kind == "timeout_after_accept" else 1.0
        given = wish.model_dump(exclude={"redeliver", "seconds", "kind"})
        try:
            fault = self._simulation.faults.add(Fault(**given, kind=wish.kind, seconds=seconds))
        except ValueError as error:
            raise ControlError(str(error)) from None
        return answer(asdict(fault), 201)

    async def faults(self, request: Request) -> Response:
        return answer({"faults": [asdict(fault) for fault in self._simulation.faults.all()]})

    async def clear_faults(self, request: Request) -> Response:
        lifted = self._simulation.faults.lift(account_id=request.query_params.get("account_id"))
        self._simulation.outbox.wake()
        return answer({"lifted": lifted})

    async def outbox(self, request: Request) -> Response:
        outbox, limit = self._simulation.outbox, query_limit(request, 50)
        account_id = request.query_params.get("account_id")
        posts = [post for post in outbox.recent if account_id in (None, post.account.account_id)]
        return answer({**self._counts(), "posts": [post.describe() for post in posts[-limit:]] if limit > 0 else []})

    async def tune_outbox(self, request: Request) -> Response:
        wish = await read_body(request, OutboxWish)
        outbox = self._simulation.outbox
        if wish.concurrency is not None:
            outbox.concurrency = wish.concurrency
        if wish.retry_scale is not None:
            outbox.retry_scale = wish.retry_scale
        return answer({"concurrency": outbox.concurrency, "retry_scale": outbox.retry_scale})

    async def flush(self, request: Request) -> Response:
        wish = await read_body(request, FlushWish)
        empty = await self._simulation.outbox.flush(wish.timeout)
        return answer({"empty": empty, **self._counts()})

    async def chat(self, request: Request) -> Response:
        wish = await read_body(request, ChatterWish)
        for account_id in wish.account_ids:
            self._world.get_account(account_id)
        self.chatter.start(wish)
        return answer({"running": self.chatter.running, "said": self.chatter.said})

    async def reset(self, request: Request) -> Response:
        """Forgets everything, so that one simulator serves many tests."""
        self.chatter.stop()
        await self._simulation.reset()
        return Response(status_code=204)

    async def health(self, request: Request) -> Response:
        return answer({"status": "ok", "accounts": len(self._world.accounts), **self._counts()})

    def _counts(self) -> JsonObject:
        outbox = self._simulation.outbox
        return {
            "pending": outbox.pending,
            "delivered": outbox.delivered,
            "failed": outbox.failed,
            "dropped": outbox.dropped,
        }


# --- Shapes -----------------------------------------------------------------------------------------------------------


def _customer(customer: Customer) -> JsonObject:
    return {
        "id": customer.id,
        "name": customer.name,
        "username": customer.username,
        "phone": customer.phone,
        "bsuid": customer.bsuid,
        "reachable": customer.reachable,
        "blocked": customer.blocked,
        "marketing_stopped": customer.marketing_stopped,
        "wrote_at": customer.wrote_at,
    }


def _message(message: Message) -> JsonObject:
    return {
        "id": message.id,
        "customer": message.customer_id,
        "incoming": message.incoming,
        "kind": message.kind,
        "text": message.text,
        "correlation": message.correlation,
        "reply_to": message.reply_to,
        "status": message.status,
        "error_code": message.error_code,
        "native": message.native,
        "edits": message.edits,
        "deleted": message.deleted,
        "reactions": {**message.reactions},
        "at": message.at,
        "content": message.content,
    }
