"""The tree of errors: what each says to a caller, and what it can never say."""

from collections.abc import Iterator

import pytest

from inbox.kernel import errors
from inbox.kernel.errors import Fault, InboxError, Invalid, TooManyRequests, Unavailable


def walk(root: type[InboxError]) -> Iterator[type[InboxError]]:
    for child in root.__subclasses__():
        yield child
        yield from walk(child)


TREE = sorted(
    {error for error in walk(InboxError) if error.__module__ == errors.__name__ and not error.__name__.startswith("_")},
    key=lambda error: error.status,
)

STATUSES = {
    "BadRequest": 400,
    "Unauthenticated": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "Conflict": 409,
    "PreconditionFailed": 412,
    "TooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "Unavailable": 503,
}


def test_the_tree_is_the_one_drawn_in_the_docstring() -> None:
    assert {error.__name__: error.status for error in TREE} == STATUSES
    for name, status in STATUSES.items():
        assert f"{name} {status}" in (errors.__doc__ or "")


def test_every_code_is_stable_unique_snake_case() -> None:
    codes = [error.code for error in TREE]
    assert len(set(codes)) == len(codes)
    assert all(code.isidentifier() and code == code.lower() for code in codes)


def test_a_problem_document_holds_the_members_and_the_facts() -> None:
    class WindowClosed(errors.Conflict):
        code, title = "window_closed", "The messaging window is closed"

    error = WindowClosed("it closed at noon", templates=["hello", "bye"])
    assert error.problem(instance="/v1/messages", request_id="r1") == {
        "type": "/problems/window_closed",
        "title": "The messaging window is closed",
        "status": 409,
        "detail": "it closed at noon",
        "code": "window_closed",
        "instance": "/v1/messages",
        "templates": ["hello", "bye"],
        "request_id": "r1",
    }


def test_without_a_detail_the_title_is_the_detail() -> None:
    assert errors.NotFound().problem()["detail"] == errors.NotFound.title
    assert str(errors.NotFound("no such tag")) == "no such tag"


@pytest.mark.parametrize("name", sorted(errors.RESERVED))
def test_a_fact_cannot_take_the_place_of_a_member(name: str) -> None:
    with pytest.raises(ValueError, match="not free"):
        errors.Conflict("", **{name: "forged"})


def test_faults_are_listed_with_pointers_and_counted_in_the_detail() -> None:
    error = Invalid([Fault("/body/a", "too long", "string_too_long"), Fault("/body/b", "missing")])
    assert error.detail == "/body/a: too long (and 1 more)"
    assert error.problem()["faults"] == [
        {"pointer": "/body/a", "detail": "too long", "code": "string_too_long"},
        {"pointer": "/body/b", "detail": "missing", "code": "invalid"},
    ]


def test_a_flood_of_faults_is_cut() -> None:
    error = Invalid(Fault(f"/body/{n}", "wrong") for n in range(5_000))
    faults = error.problem()["faults"]
    assert isinstance(faults, list)
    assert len(faults) == errors.MOST_FAULTS
    assert "4999 more" in error.detail


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2"), (60, "60")])
@pytest.mark.parametrize("kind", [TooManyRequests, Unavailable])
def test_not_now_says_when(kind: type[TooManyRequests | Unavailable], seconds: float, header: str) -> None:
    error = kind(retry_after=seconds)
    assert error.headers == {"Retry-After": header}
    assert error.problem()["retry_after"] == seconds


def test_headers_that_http_demands() -> None:
    assert errors.Unauthenticated().headers == {"WWW-Authenticate": "Bearer"}
    assert errors.MethodNotAllowed(["GET", "HEAD"]).headers == {"Allow": "GET, HEAD"}
    assert errors.NotFound().headers == {}
