"""One call of the Bot API. The token is part of every address, so no address ever enters an error or a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

import orjson

from channels.adapter import Http, HttpAnswer, Upload
from channels.errors import FetchError, SendError
from channels.telegram.errors import Reply, fault_of, read_reply
from channels.types import Account, JsonObject, JsonValue

API_BASE: Final = "https://api.telegram.org"


def base_of(account: Account) -> str:
    return account.api_base or API_BASE


async def call(http: Http, account: Account, method: str, params: JsonObject, uploads: Sequence[Upload] = ()) -> Reply:
    url = f"{base_of(account)}/bot{account.token}/{method}"
    answer: HttpAnswer
    if uploads:
        form = {name: _form_value(value) for name, value in params.items()}
        answer = await http.request("POST", url, form=form, files=uploads)
    else:
        answer = await http.request("POST", url, json=params)
    return read_reply(answer)


def _form_value(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def require(reply: Reply, account: Account, *, group: bool = False) -> None:
    """Raises ``SendError`` unless the call was done."""
    if reply.ok is not True:
        raise SendError(fault_of(reply, token=account.token, group=group))


def refuse_fetch(reply: Reply, account: Account) -> NoReturn:
    """For a call that only reads, and so may be tried again."""
    raise FetchError(fault_of(reply, token=account.token, repeatable=True))
