"""Graph API refusals: the body that Meta's three products share (facts, 0, 1.6, 2.5, 3.4)."""

from __future__ import annotations

import math

from channels.simulator import wire
from channels.simulator.faults import Fault
from channels.simulator.world import Account
from channels.types import JsonObject


class GraphError(Exception):
    def __init__(
        self,
        code: int,
        message: str,
        *,
        subcode: int | None = None,
        details: str | None = None,
        status: int = 400,
        kind: str = "OAuthException",
        transient: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.message = message
        self.details = details
        self.status = status
        self.kind = kind
        self.transient = transient
        self.headers = headers or {}

    def body(self) -> JsonObject:
        error: JsonObject = {"message": self.message, "type": self.kind, "code": self.code}
        if self.details is not None:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient:
            error["is_transient"] = True
        error["fbtrace_id"] = wire.trace_id()
        return {"error": error}


def bad_token() -> GraphError:
    return GraphError(190, "Invalid OAuth access token - Cannot parse access token", status=401)


def no_such_node(node: str, method: str) -> GraphError:
    verb = "get" if method == "GET" else method.lower()
    message = (
        f"Unsupported {verb} request. Object with ID '{node}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation"
    )
    return GraphError(100, message, subcode=33, kind="GraphMethodException")


def bad(message: str, *, subcode: int | None = None) -> GraphError:
    return GraphError(100, f"(#100) {message}", subcode=subcode)


def missing(name: str) -> GraphError:
    """WhatsApp's refusal of an absent field."""
    return GraphError(131008, "(#131008) Required parameter is missing", details=f"The parameter {name} is required.")


def invalid(details: str) -> GraphError:
    """WhatsApp's refusal of a value."""
    return GraphError(131009, "(#131009) Parameter value is not valid", details=details)


_THROTTLES = {
    "whatsapp": (130429, None, "(#130429) Rate limit hit"),
    "messenger": (613, None, "(#613) Calls to this api have exceeded the rate limit."),
    "instagram": (613, 2534040, "(#613) Calls to this api have exceeded the rate limit."),
}
_USAGE = {"whatsapp": "whatsapp", "messenger": "messenger", "instagram": "instagram"}


def throttled(account: Account, fault: Fault) -> GraphError:
    """Throttling commonly comes as HTTP 400; the only hint is in minutes, in a header (facts, 0)."""
    code, subcode, message = _THROTTLES[account.kind]
    if fault.code is not None:
        code, subcode, message = fault.code, fault.subcode, f"(#{fault.code}) Rate limit hit"
    minutes = math.ceil(fault.retry_after / 60)
    usage: JsonObject = {
        account.waba_id if account.kind == "whatsapp" else account.account_id: [
            {
                "type": _USAGE[account.kind],
                "call_count": 100,
                "total_cputime": 25,
                "total_time": 25,
                "estimated_time_to_regain_access": minutes,
            }
        ]
    }
    details = "Message failed to send because there were too many messages sent in a short period of time."
    return GraphError(
        code,
        message,
        subcode=subcode,
        details=details if account.kind == "whatsapp" else None,
        status=fault.status or 400,
        headers={"X-Business-Use-Case-Usage": wire.plain_json(usage).decode()},
    )


def failed(account: Account, fault: Fault) -> GraphError:
    code = fault.code if fault.code is not None else 2
    transient = code in (1, 2)
    message = "An unexpected error has occurred. Please retry your request later." if transient else f"(#{code}) Failed"
    status = fault.status or (500 if transient else 401 if code == 190 else 400)
    details = "Simulated failure." if account.kind == "whatsapp" else None
    return GraphError(code, message, subcode=fault.subcode, details=details, status=status, transient=transient)


def down() -> GraphError:
    return GraphError(2, "Service temporarily unavailable", status=503, transient=True)
