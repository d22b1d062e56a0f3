"""Errors that a caller is told about, as facts: a status, a stable code and whatever lets a program react.

    InboxError
    ├── BadRequest 400               ├── PreconditionFailed 412
    ├── Unauthenticated 401          ├── TooLarge 413
    ├── Forbidden 403                ├── UnsupportedMediaType 415
    ├── NotFound 404                 ├── Invalid 422            (faults: pointer, detail, code)
    ├── MethodNotAllowed 405         ├── TooManyRequests 429    (retry_after seconds)
    ├── Conflict 409                 └── Unavailable 503        (retry_after seconds)

Domains subclass these and set their own `code`. No message or fact ever holds a secret or a value derived from one:
everything here is sent to the caller as an RFC 9457 problem document.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import ClassVar, Final, TypeAlias
from uuid import UUID

# What a problem document can carry; orjson encodes all of it.
Fact: TypeAlias = str | int | float | bool | UUID | datetime | Sequence["Fact"] | Mapping[str, "Fact"] | None
Problem: TypeAlias = dict[str, Fact]

RESERVED: Final = frozenset({"type", "title", "status", "detail", "code", "instance", "request_id"})
MOST_FAULTS: Final = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where (a JSON pointer such as `/body/parts/0/text`) and why."""

    pointer: str
    detail: str
    code: str = "invalid"


class InboxError(Exception):
    """The root: an expected refusal. `detail` is for people, `code` for programs, `facts` become extra members."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request was refused"

    def __init__(self, detail: str = "", /, **facts: Fact) -> None:
        if shadowed := RESERVED & facts.keys():
            raise ValueError(f"these members of a problem document are not free: {sorted(shadowed)}")
        self.detail = detail or self.title
        self.facts: dict[str, Fact] = facts
        super().__init__(self.detail)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the answer because of what the error says."""
        return {}

    def problem(self, *, instance: str | None = None, request_id: str | None = None) -> Problem:
        """The RFC 9457 document. `instance` is the path of the request."""
        return problem(
            self.status,
            self.code,
            self.title,
            self.detail,
            kind=f"/problems/{self.code}",
            instance=instance,
            request_id=request_id,
            facts=self.facts,
        )


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    kind: str = "about:blank",
    instance: str | None = None,
    request_id: str | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> Problem:
    """A problem document in the order people read it; `instance` and `request_id` are left out when unknown."""
    document: Problem = {"type": kind, "title": title, "status": status, "detail": detail, "code": code}
    if instance is not None:
        document["instance"] = instance
    document.update(facts or {})
    if request_id is not None:
        document["request_id"] = request_id
    return document


class BadRequest(InboxError):
    status, code, title = 400, "bad_request", "The request cannot be understood"


class Unauthenticated(InboxError):
    status, code, title = 401, "unauthenticated", "Credentials are missing or not valid"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(InboxError):
    status, code, title = 403, "forbidden", "The caller may not do this"


class NotFound(InboxError):
    status, code, title = 404, "not_found", "There is no such thing, or the caller may not see it"


class MethodNotAllowed(InboxError):
    status, code, title = 405, "method_not_allowed", "This path does not answer that method"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"this path answers {', '.join(self.allowed)}", allowed=self.allowed)

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class Conflict(InboxError):
    status, code, title = 409, "conflict", "The state of things does not allow this now"


class PreconditionFailed(InboxError):
    status, code, title = 412, "precondition_failed", "It has changed since the caller read it"


class TooLarge(InboxError):
    status, code, title = 413, "too_large", "The request body is too large"


class UnsupportedMediaType(InboxError):
    status, code, title = 415, "unsupported_media_type", "This content type is not accepted"


class Invalid(InboxError):
    """What was sent was understood and is wrong; every fault is listed, up to `MOST_FAULTS`."""

    status, code, title = 422, "invalid", "The request is not valid"

    def __init__(self, faults: Iterable[Fault], detail: str = "", /, **facts: Fact) -> None:
        self.faults = tuple(faults)
        listed = [asdict(fault) for fault in self.faults[:MOST_FAULTS]]
        super().__init__(detail or self._summary(), **{**facts, "faults": listed})

    @classmethod
    def at(cls, pointer: str, detail: str, code: str = "invalid") -> "Invalid":
        """The common case of one fault."""
        return cls([Fault(pointer, detail, code)])

    def _summary(self) -> str:
        if not self.faults:
            return ""
        more = len(self.faults) - 1
        return f"{self.faults[0].pointer}: {self.faults[0].detail}" + (f" (and {more} more)" if more else "")


class _Wait(InboxError):
    """What both "not now" errors share: how long to wait, in seconds, in the document and in `Retry-After`."""

    def __init__(self, detail: str = "", /, *, retry_after: float, **facts: Fact) -> None:
        self.retry_after = retry_after
        super().__init__(detail, retry_after=retry_after, **facts)

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


class TooManyRequests(_Wait):
    status, code, title = 429, "too_many_requests", "Too many requests"


class Unavailable(_Wait):
    status, code, title = 503, "unavailable", "The service cannot do this right now"
