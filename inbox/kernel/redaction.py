"""Takes secrets out of what is shown. Works on finished text too, since secrets also travel in URLs and exceptions.

The last line of defence, not the first: code does not log secrets. It prefers to hide too much, and never raises.
Its time grows linearly with the text: every pattern is bounded or tried once per word.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from enum import Enum
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

HIDDEN: Final = "***"
LONGEST_TEXT: Final = 64 * 1024
_DEEPEST: Final = 6
_WIDEST: Final = 200
_LARGEST_INT_BITS: Final = 63

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
"""What every JSON encoder takes."""

_TELLING_END: Final = (
    r"(?:token|secrets?|password|passwd|passphrase|appsecret_proof|ticket|signature(?:-256)?|cookie|credentials?|authorization"
    r"|api[_.-]?key|private[_.-]?key|(?<![\w.-])(?:key|sig|pwd|auth))"
)
# A name like `hub.verify_token` or `clientSecret`. The look-behind makes each run of letters be tried once.
_NAME: Final = rf"(?<![\w.-])[\w.-]{{0,64}}?{_TELLING_END}"
_HEADER: Final = r"(?<![\w-])(?:(?:proxy-)?authorization|(?:set-)?cookie)"
_QUOTED: Final = r"""(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.)*(?:'|$))"""
_BARE: Final = r"""[^\s&,;"'<>()\[\]{}\\]+"""
_LIST: Final = r"(?:\[[^\]]*(?:\]|$)|\([^)]*(?:\)|$)|\{[^}]*(?:\}|$))"

_SECRET_NAME: Final = re.compile(rf"[\w.-]*?{_TELLING_END}", re.IGNORECASE)


class _Rule(NamedTuple):
    """Looking for a plain word first is what makes redaction cheap: most text holds none of them."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


def _rule(words: tuple[str, ...], pattern: str, replacement: str) -> _Rule:
    return _Rule(words, re.compile(pattern, re.IGNORECASE), replacement)


_TELLING: Final = (
    *("token", "secret", "passw", "passphrase", "proof", "ticket", "signature", "cookie", "credential"),
    *("authorization", "key", "sig", "pwd", "auth"),
)
_HEADERS: Final = ("authorization", "cookie")
_ESCAPED: Final = r"""\\{1,3}["'][^"'\\]*(?:\\{1,3}["'])?"""

_RULES: Final = (
    # Whole header values, which may hold spaces: to the end of the quotes they stand in, or of the line.
    _rule(
        _HEADERS,
        rf"""({_HEADER}["']?\s{{0,4}}[:=,]\s{{0,4}}b?)(?:"[^"\r\n]*"?|'[^'\r\n]*'?)""",
        rf'\1"{HIDDEN}"',
    ),
    _rule(_HEADERS, rf"""({_HEADER}\s{{0,4}}[:=]\s{{0,4}})[^\s"'][^\r\n"'}}\]]*""", rf"\1{HIDDEN}"),
    _rule(("bearer",), r"\b(bearer)\s{1,4}[\w.~+/=|-]{6,}", rf"\1 {HIDDEN}"),
    # Telegram: the number is the bot's public id.
    _rule(("bot",), r"(?<![A-Za-z])(bot\d{1,20})(?::|%3A)[\w-]+", rf"\1:{HIDDEN}"),
    _rule((":",), r"(?<!\w)(\d{5,20}):[\w-]{30,}", rf"\1:{HIDDEN}"),
    # User name and password in a URL, such as that of the database.
    _rule(("://",), r"(?<=://)[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}@", f"{HIDDEN}@"),
    # "name": "value", 'name': 'value', name="value", also with the quotes escaped by one more encoding.
    _rule(
        _TELLING,
        rf"""({_NAME})(\\{{0,3}}["']?\s{{0,4}}[:=]\s{{0,4}})(?:{_ESCAPED}|b?{_QUOTED}|{_LIST})""",
        rf'\1\2"{HIDDEN}"',
    ),
    # name=value of a query or a form, "name": 123, and password: value in prose.
    _rule(_TELLING, rf"""({_NAME}["']?=)(?!"?\*\*\*){_BARE}""", rf"\1{HIDDEN}"),
    _rule(_TELLING, rf"""({_NAME}["']\s{{0,4}}:\s{{0,4}})(?!null|None|"?\*\*\*){_BARE}""", rf"\1{HIDDEN}"),
    _rule(
        ("_token", "secret", "passw"),
        rf"(?<![\w.-])((?:[\w.-]{{0,64}}?_token|secret|password|passwd)\s?:\s{{0,4}})(?!\*){_BARE}",
        rf"\1{HIDDEN}",
    ),
    _rule(("sha",), r"\b(sha(?:1|256|512)=)[0-9a-f]{8,}", rf"\1{HIDDEN}"),
    # Tokens known by their looks: ours, Standard Webhooks, Meta, JSON web tokens.
    _rule(("ibx_", "whsec_"), r"(?<![A-Za-z0-9])(ibx_|whsec_)[\w+/=-]{4,}", rf"\1{HIDDEN}"),
    _rule(("eaa", "iga", "igq"), r"(?<![A-Za-z0-9])((?-i:EAA|IGA|IGQ))[\w-]{20,}", rf"\1{HIDDEN}"),
    _rule(("eyj",), r"(?<![\w-])(?-i:eyJ)[\w-]{10,}\.[\w-]{10,}\.[\w-]*", HIDDEN),
)


def redact(text: str) -> str:
    """The text without its secrets, cut after `LONGEST_TEXT` characters."""
    over = len(text) - LONGEST_TEXT
    if over > 0:
        text = text[:LONGEST_TEXT]
    lower = text.lower()
    for words, pattern, replacement in _RULES:
        for word in words:
            if word in lower:
                text = pattern.sub(replacement, text)
                break
    return f"{text}… ({over} more characters)" if over > 0 else text


def is_secret_name(name: str) -> bool:
    """Whether a field, header or parameter of this name holds a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def redact_value(value: object, *, name: str = "", _depth: int = 0) -> Plain:
    """The value as plain JSON types without secrets: by the names of fields, and within every text."""
    if value is None or isinstance(value, bool | float):
        return value
    if name and is_secret_name(name):
        return HIDDEN
    if isinstance(value, Enum):
        return redact_value(value.value, _depth=_depth + 1)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LARGEST_INT_BITS else str(value)
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, UUID | date | time | timedelta):
        return str(value)
    if _depth >= _DEEPEST:
        return "…"
    try:
        if isinstance(value, Mapping):
            named = [(shown(key, str), inner) for key, inner in list(value.items())[:_WIDEST]]
            return {redact(key): redact_value(inner, name=key, _depth=_depth + 1) for key, inner in named}
        if isinstance(value, list | tuple | set | frozenset):
            return [redact_value(inner, _depth=_depth + 1) for inner in list(value)[:_WIDEST]]
    except Exception as error:
        return f"<unreadable {type(value).__name__}: {type(error).__name__}>"
    return redact(shown(value))


def shown(value: object, how: Callable[[object], str] = repr) -> str:
    """`how(value)`, or a note when the object cannot even be shown."""
    try:
        return how(value)
    except Exception as error:
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"
