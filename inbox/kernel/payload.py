"""What a client sent: read within a limit, and refused with a pointer when it cannot be stored.

JSON can say more than PostgreSQL and JSON's own readers can hold: NUL in text, NaN, infinities, integers beyond
64 bits; a cursor can name instants that UTC cannot. All of it is a 422 here, so that nothing deeper ever fails on a
value. Faults never repeat the value.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TypeAlias, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from inbox.kernel.errors import MOST_FAULTS, Fault, Invalid, TooLarge

T = TypeVar("T")
Parsed: TypeAlias = object  # JSON as Python objects; objects as a tuple of pairs, so that repeated keys are all seen

SMALLEST, LARGEST = -(2**63), 2**63 - 1
LONGEST_SEGMENT: Final = 80
LONGEST_DETAIL: Final = 300
LISTABLE: Final = 1_000  # spelling out a fault costs microseconds, and a body can hold half a million

_FIRST_LOOK: Final = bytes.maketrans(b"123456789e", b"000000000E")
_DIGITS: Final = b"0" * 19
_EXPONENTS: Final = (b"0E000", b"0E+000")


async def read_body(receive: Receive, declared: str | None, limit: int) -> bytes:
    """The body of a request; `declared` is its Content-Length. Stops reading as soon as `limit` bytes are passed."""
    if declared is not None and declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks) if len(chunks) > 1 else chunk


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body may hold at most {limit} bytes", limit=limit)


def pointer(root: str, path: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) below `root`; overlong keys are cut, since the client chose them."""
    parts = (str(part)[:LONGEST_SEGMENT].replace("~", "~0").replace("/", "~1") for part in path)
    return "/".join((root, *parts))


def value_fault(where: str, value: object) -> Fault | None:
    """Why one scalar cannot be stored, if it cannot."""
    if isinstance(value, str):
        return Fault(where, "text cannot contain the NUL character", "nul_character") if "\0" in value else None
    if isinstance(value, float):
        return None if math.isfinite(value) else Fault(where, "a number must be finite", "finite_number")
    if isinstance(value, int) and not SMALLEST <= value <= LARGEST:
        return Fault(where, "an integer must fit 64 bits", "integer_range")
    if isinstance(value, datetime) and not _in_utc(value):
        return Fault(where, "an instant must lie in the years 1 to 9999 of UTC", "datetime_range")
    return None


def _in_utc(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return False
    return True


def json_faults(raw: bytes) -> list[Fault]:
    """Values in syntactically valid JSON that cannot be stored.

    A look at the bytes clears nearly every body in about a microsecond; only a suspicious one is parsed again.
    """
    if b"\\u0000" not in raw and b"NaN" not in raw and b"Infinity" not in raw:
        digits = raw.translate(_FIRST_LOOK)
        if _DIGITS not in digits and not any(exponent in digits for exponent in _EXPONENTS):
            return []
    return list(islice(_walk(_parse(raw), ()), MOST_FAULTS))


def _parse(raw: bytes) -> Parsed:
    """Parse what pydantic has already found to be well formed and at most 200 levels deep."""
    return json.loads(raw, object_pairs_hook=tuple, parse_int=_integer)


def _integer(literal: str) -> int:
    return int(literal) if len(literal) < 40 else LARGEST + 1


def _walk(value: Parsed, path: tuple[str | int, ...]) -> Iterator[Fault]:
    if isinstance(value, tuple):
        for key, item in value:
            if fault := value_fault(pointer("/body", path), key):
                yield fault
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))
    elif fault := value_fault(pointer("/body", path), value):
        yield fault


def faults_of(error: ValidationError, root: str, document: object) -> list[Fault]:
    """Pydantic's findings with pointers into what the client sent.

    Its locations also name union members, which exist in no document: a name is kept when it leads somewhere, or
    when it is the last one of an object (a member that is missing).
    """
    return [
        Fault(pointer(root, _located(found, document)), found["msg"][:LONGEST_DETAIL], found["type"])
        for found in _findings(error)
    ]


def validate_json(adapter: TypeAdapter[T], raw: bytes) -> T:
    """A JSON body as its model, without guessing: text is no number, a number is no text.

    `5.0` is an integer in JSON Schema and none for a strict pydantic: a body refused for that is judged once more
    with its whole numbers written as integers. Malformed JSON has one fault, with line and column in its detail.
    """
    try:
        return adapter.validator.validate_json(raw, strict=True)  # type: ignore[no-any-return]
    except ValidationError as error:
        refused = error
    if (count := refused.error_count()) > LISTABLE:
        raise Invalid.at("/body", f"{count} values are not valid", "too_many_faults") from None
    kinds = {found["type"] for found in _findings(refused)}
    if "json_invalid" in kinds:
        raise Invalid(faults_of(refused, "/body", None)) from None
    if "int_type" in kinds:
        try:
            return adapter.validator.validate_json(_with_integers(raw), strict=True)  # type: ignore[no-any-return]
        except ValidationError as error:
            refused = error
    raise Invalid(faults_of(refused, "/body", json.loads(raw, parse_int=_integer))) from None


def _with_integers(raw: bytes) -> bytes:
    return json.dumps(json.loads(raw, parse_float=_number, parse_int=_integer)).encode()


def _number(literal: str) -> int | float:
    number = float(literal)
    return int(number) if number.is_integer() and SMALLEST <= number <= LARGEST else number


def _findings(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _located(found: ErrorDetails, document: object) -> list[str | int]:
    path: list[str | int] = []
    location = found["loc"]
    here = document
    for depth, step in enumerate(location):
        if _is_tag(step, here, location[depth + 1 :], is_missing=found["type"] == "missing"):
            continue
        if (isinstance(here, dict) and step in here) or (
            isinstance(here, list) and isinstance(step, int) and step < len(here)
        ):
            here = here[step]  # type: ignore[index]  # the two cases cannot be told apart in one branch
        elif not isinstance(here, dict) or depth + 1 < len(location) or step == "[key]":
            continue
        path.append(step)
    return path


def _is_tag(step: str | int, here: object, rest: tuple[str | int, ...], *, is_missing: bool) -> bool:
    """Whether this names the member of a tagged union although the object also has a member of that name.

    `{"type": "text", "text": …}`: another member has this value, and what follows belongs beside it, not into it.
    """
    if not isinstance(here, dict) or step not in here or not rest:
        return False
    if not any(value == step for name, value in here.items() if name != step):
        return False
    return rest[0] in here or (is_missing and len(rest) == 1 and not isinstance(here[step], dict))


def model_faults(model: BaseModel, root: str, names: Mapping[str, str]) -> list[Fault]:
    """Values of a validated flat model that cannot be stored; `names` maps its fields to what the client wrote."""
    faults: list[Fault] = []
    for field, value in model.__dict__.items():
        where = f"{root}/{names.get(field, field)}"
        values = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        faults.extend(fault for item in values if (fault := value_fault(where, item)))
    return faults
