"""One call of the Graph API: the answer's object, or a fault out of its error body and throttle headers.

Meta has no idempotency key. A ``repeatable`` call (a read, an upload, a read mark) may be made again after any answer;
for a send, an answer that says neither yes nor no leaves the outcome unknown (channel facts, section 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from channels.adapter import Http, HttpAnswer, Upload
from channels.errors import FetchError, SendError
from channels.meta.faults import OUTCOME_UNKNOWN, TEMPORARY, FaultTable, classify, explained
from channels.types import Account, Fault, JsonObject, JsonValue
from channels.wire import Undecodable, as_integer, as_list, as_number, as_object, as_text, decode, objects

GRAPH_HOST: Final = "https://graph.facebook.com"
API_VERSION: Final = "v26.0"
"""Current in November 2026; an account's ``api_version`` goes before it."""

_EXPLAINED: Final = frozenset({"parameter_invalid", "template_invalid", "media_refused", "unknown_error", "policy"})
"""Codes whose cause is only in Meta's own words."""
_LONGEST_WAIT: Final = 86_400.0
_MOST_PAGES: Final = 200


@dataclass(frozen=True, slots=True)
class GraphError:
    """The error object of an answer, or one entry of a webhook's ``errors``."""

    code: int | None
    subcode: int | None
    detail: str | None = field(repr=False)
    """Meta's own words: ``error_data.details``, else the message. May quote the request: see ``explained``."""
    transient: bool = False


def read_error(body: JsonObject) -> GraphError | None:
    """The error of an answer's body, or ``None`` where it has none."""
    error = body.get("error")
    return read_error_object(error) if isinstance(error, dict) else None


def read_error_object(error: JsonObject) -> GraphError:
    details = as_object(error.get("error_data")).get("details")
    return GraphError(
        code=as_integer(error.get("code")),
        subcode=as_integer(error.get("error_subcode")),
        detail=as_text(details) or as_text(error.get("error_user_msg")) or as_text(error.get("message")),
        transient=error.get("is_transient") is True,
    )


def fault_of(error: GraphError, table: FaultTable, *, status: int = 0, secrets: Sequence[str] = ()) -> Fault:
    """The fault of an error object; the product's ``table`` goes before the generic one."""
    fault = classify(error.code, error.subcode, status, table)
    if fault.code == "unknown_error" and error.transient:
        fault = replace(fault, code=TEMPORARY.code, reason=TEMPORARY.reason, retryable=True)
    return explained(fault, error.detail, *secrets) if fault.code in _EXPLAINED else fault


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until Meta takes calls again: `Retry-After`, else the most minutes that a usage header tells."""
    told = as_number(headers.get("retry-after"))
    if told is not None and told > 0:
        return min(told, _LONGEST_WAIT)
    minutes = 0.0
    try:
        usage = decode(headers.get("x-business-use-case-usage", "{}").encode("utf-8", "replace"))
    except Undecodable:
        return None
    for entries in as_object(usage).values():
        for entry in as_list(entries):
            wait = as_number(as_object(entry).get("estimated_time_to_regain_access"))
            minutes = max(minutes, wait or 0.0)
    return min(minutes * 60, _LONGEST_WAIT) if minutes > 0 else None


def fault_of_answer(answer: HttpAnswer, table: FaultTable, *, repeatable: bool, secrets: Sequence[str] = ()) -> Fault:
    """Why an answer is not a success. A refusal of Meta carries an error body; anything else comes from in between."""
    error = read_error(_body(answer) or {})
    if error is not None:
        fault = fault_of(error, table, status=answer.status, secrets=secrets)
    elif answer.status >= 500 or answer.status == 408 or answer.status < 400:
        fault = replace(TEMPORARY if repeatable else OUTCOME_UNKNOWN, provider_code=f"http {answer.status}")
    else:
        fault = classify(None, None, answer.status, {})
    wait = retry_after(answer.headers) if fault.retryable or fault.pauses else None
    # Where the product's table names a wait it is the least: the header may tell of another limit.
    return replace(fault, retry_after=max(wait, fault.retry_after or 0.0)) if wait is not None else fault


def _body(answer: HttpAnswer) -> JsonObject | None:
    try:
        body = decode(answer.body)
    except Undecodable:
        return None
    return body if isinstance(body, dict) else None


@dataclass(frozen=True, slots=True)
class GraphApi:
    """The Graph API as one product uses it: its host and its table of error codes."""

    faults: FaultTable
    host: str = GRAPH_HOST

    def url(self, account: Account, path: str, *, host: str | None = None) -> str:
        version = account.api_version or API_VERSION
        version = version if version.startswith("v") else f"v{version}"
        return f"{account.api_base or host or self.host}/{version}/{path}"

    async def call(
        self,
        http: Http,
        account: Account,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: JsonValue = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
        timeout: float | None = None,
        host: str | None = None,
        repeatable: bool = False,
        error: type[SendError] | type[FetchError] = SendError,
    ) -> JsonObject:
        """The object that Meta answered with. Raises ``error`` with a fault; transport errors pass through.

        ``path`` is relative to the version. ``host`` stands in for the product's own (Instagram's two stacks); an
        account's ``api_base`` goes before both.
        """
        answer = await http.request(
            method,
            self.url(account, path, host=host),
            headers={"authorization": f"Bearer {account.token}"},
            query=query,
            json=json,
            form=form,
            files=files,
            timeout=timeout,
        )
        body = _body(answer)
        if body is None or not 200 <= answer.status < 300 or "error" in body:
            # No cause: what led here may hold the request, and with it the token.
            raise error(fault_of_answer(answer, self.faults, repeatable=repeatable, secrets=(account.token,)))
        return body

    async def pages(
        self, http: Http, account: Account, path: str, *, query: Mapping[str, str], host: str | None = None
    ) -> list[JsonObject]:
        """All objects of a paged listing, as far as reason goes. Raises ``FetchError``; a part is never taken for all.

        Only the cursor of a page is followed, never its link: a link could lead the token elsewhere.
        """
        found: list[JsonObject] = []
        asked = dict(query)
        for _page in range(_MOST_PAGES):
            answer = await self.call(
                http, account, "GET", path, query=asked, host=host, repeatable=True, error=FetchError
            )
            found += objects(answer.get("data"))
            paging = as_object(answer.get("paging"))
            after = as_text(as_object(paging.get("cursors")).get("after"))
            if "next" not in paging or after is None or after == asked.get("after"):
                return found
            asked["after"] = after
        raise FetchError(Fault("temporary", f"Meta's list goes on beyond {_MOST_PAGES} pages."))

    async def upload(
        self,
        http: Http,
        account: Account,
        path: str,
        *,
        form: Mapping[str, str],
        files: Sequence[Upload],
        timeout: float = 120.0,
        host: str | None = None,
    ) -> JsonObject:
        """A file that precedes a send. Whatever breaks here, no message has left: the send may be tried again.

        Hence the one place where transport errors do not pass: the caller would take them for an unknown outcome.
        """
        try:
            return await self.call(
                http,
                account,
                "POST",
                path,
                form=form,
                files=files,
                timeout=timeout,
                host=host,
                repeatable=True,
            )
        except SendError:
            raise
        except Exception as error:
            failed = Fault("temporary", "The file could not be handed to Meta.", retryable=True)
            raise SendError(failed) from error
