"""The block list of a WhatsApp number: ``POST|DELETE|GET /{phone_number_id}/block_users`` (facts, 1.7)."""

from __future__ import annotations

from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, missing, no_such_node
from channels.simulator.graph_nodes import page_of
from channels.simulator.simulation import Simulation
from channels.simulator.wire import as_list, as_object
from channels.simulator.world import DAY, Account, Customer
from channels.types import JsonObject, JsonValue

_PUNCTUATION = str.maketrans("", "", "+ ()-.")
_BATCH = 1000


class WhatsAppBlocks:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    def endpoint(self, account: Account, call: Call) -> Reply:
        match call.method:
            case "GET":
                return self._list(account, call)
            case "POST" | "DELETE":
                return self._change(account, call, block=call.method == "POST")
        raise no_such_node(account.account_id, call.method)

    def _list(self, account: Account, call: Call) -> Reply:
        people = [account.customers[each] for each in account.meta.block_list if each in account.customers]
        shown: list[JsonValue] = [
            {"messaging_product": "whatsapp", "wa_id": customer.phone or customer.bsuid} for customer in people
        ]
        url = f"{self._simulation.base_url}/graph/v26.0/{account.account_id}/block_users"
        return Reply(page_of(shown, call.fields, url))

    def _change(self, account: Account, call: Call, *, block: bool) -> Reply:
        if call.fields.get("messaging_product") != "whatsapp":
            raise bad("The parameter messaging_product is required.")
        wanted = as_list(call.fields.get("block_users"))
        if not wanted:
            raise missing("block_users")
        if len(wanted) > _BATCH:
            raise bad(f"Param block_users must have at most {_BATCH} elements.")
        if block and len(account.meta.block_list) + len(wanted) > account.meta.block_limit:
            raise GraphError(139101, "(#139101) Blocklist limit reached", details="The blocklist is full.")
        done: list[JsonValue] = []
        failed: list[JsonValue] = []
        for user in (str(as_object(each).get("user", "")) for each in wanted):
            customer = account.find_customer(user) or account.find_customer(user.translate(_PUNCTUATION))
            shown: JsonObject = {"input": user}
            if customer is not None:
                shown["wa_id"] = customer.phone or customer.bsuid
            refusal = self._refusal(customer, block=block)
            if refusal is None and customer is not None:
                self._set(account, customer, block=block)
                done.append(shown)
            else:
                failed.append({**shown, "errors": [refusal]})
        answer: JsonObject = {"added_users" if block else "removed_users": done}
        if failed:
            answer["failed_users"] = failed
        body: JsonObject = {"messaging_product": "whatsapp", "block_users": answer}
        if not failed:
            return Reply(body)
        details = f"Failed to {'block' if block else 'unblock'} some users, please check the failed_users list"
        error = GraphError(139100, "(#139100) Failed to block/unblock some users", details=details)
        return Reply(body | error.body(), 400)

    def _refusal(self, customer: Customer | None, *, block: bool) -> JsonObject | None:
        if customer is None:
            return _error(139100, "Failed to block/unblock users", "The user is not on WhatsApp.")
        if block and self._world.window_age(customer) > DAY:
            return _error(131047, "Re-engagement required", "The user has not messaged in the last 24 hours.")
        return None

    @staticmethod
    def _set(account: Account, customer: Customer, *, block: bool) -> None:
        customer.shut_out = block
        if block:
            account.meta.block_list[customer.id] = None
        else:
            account.meta.block_list.pop(customer.id, None)


def _error(code: int, message: str, details: str) -> JsonObject:
    return {"message": message, "code": code, "error_data": {"details": details}}
