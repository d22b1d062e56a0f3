"""Asking a provider about credentials and accounts. Whatever it answers is a finding or a fault, never an exception."""

from __future__ import annotations

from collections.abc import Sequence

from channels.abilities import Connects, Endpoint, Finding
from channels.adapter import AccountFacts, Adapter, Http
from channels.errors import FetchError
from channels.types import Account, Fault
from inbox.connections.schemas import CheckFault, FindingView
from inbox.kernel.errors import Conflict
from inbox.kernel.http_errors import HttpError


class ProviderRefused(Conflict):
    """The provider did not give what was asked for. ``reason`` is its fault's code, the detail a sentence."""

    code, title = "provider_refused", "The provider refused"


async def ask(http: Http, adapter: Adapter, account: Account) -> AccountFacts | CheckFault:
    """Whose the credentials are, or why they do not work."""
    try:
        facts = await adapter.check(http, account)
    except FetchError as error:
        return check_fault(error.fault)
    except HttpError as error:
        return unanswered(error)
    if facts.account_id != account.account_id:
        reason = "The token belongs to another account than the one that is connected."
        return CheckFault("other_account", reason, None, False, True)
    return facts


async def subscribe(
    http: Http, adapter: Adapter, account: Account, endpoint: Endpoint
) -> list[FindingView] | CheckFault:
    """Have the provider deliver to the endpoint. An adapter that cannot say so leaves it to a person."""
    if not isinstance(adapter, Connects):
        return [by_hand(endpoint)]
    try:
        return views(await adapter.subscribe(http, account, endpoint))
    except FetchError as error:
        return check_fault(error.fault)
    except HttpError as error:
        return unanswered(error)


async def inspect(http: Http, adapter: Adapter, account: Account, endpoint: Endpoint | None) -> list[FindingView]:
    """What a provider says of the account beyond its token; that it did not answer is a finding, too."""
    if not isinstance(adapter, Connects):
        return []
    try:
        return views(await adapter.inspect(http, account, endpoint))
    except FetchError as error:
        reason = error.fault.reason
    except HttpError as error:
        reason = unanswered(error).reason
    return [FindingView("not_inspected", "warning", f"The rest could not be looked at: {reason}", None)]


def views(findings: Sequence[Finding]) -> list[FindingView]:
    return [FindingView(one.code, one.state, one.reason, one.remedy) for one in findings]


def check_fault(fault: Fault) -> CheckFault:
    return CheckFault(fault.code, fault.reason, fault.provider_code, fault.retryable, fault.reauthorise)


def unanswered(error: HttpError) -> CheckFault:
    return CheckFault("provider_unreachable", f"The provider did not answer: {error.reason}.", None, True, False)


def by_hand(endpoint: Endpoint) -> FindingView:
    """For kinds whose provider cannot be told where to deliver."""
    return FindingView(
        "webhook_by_hand",
        "warning",
        "This kind of channel cannot tell the provider where to deliver.",
        f"Enter {endpoint.url} as the webhook there.",
    )
