"""The adapters' HTTP client over real sockets, which keeps what was asked and what was answered."""

from __future__ import annotations

import io
import json as json_module
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiogram.types import BufferedInputFile

from channels.adapter import HttpAnswer, HttpStream, Upload
from channels.types import JsonValue


@dataclass(frozen=True, slots=True)
class Exchange:
    method: str
    """Of the Bot API."""
    params: dict[str, Any]
    """As they were meant: fields of a form read back, uploads in place of the fields that they fill."""
    answer: dict[str, Any]


@dataclass(slots=True)
class RecordingHttp:
    session: aiohttp.ClientSession
    exchanges: list[Exchange] = field(default_factory=list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        json: JsonValue = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        data: aiohttp.FormData | None = None
        if form is not None:
            data = aiohttp.FormData(dict(form))
            for file in files:
                data.add_field(file.name, io.BytesIO(file.data), filename=file.filename, content_type=file.content_type)
        async with self.session.request(method, url, headers=headers, params=query, json=json, data=data) as answer:
            body = await answer.read()
        params = _meant(form, files) if form is not None else dict(json) if isinstance(json, dict) else {}
        self.exchanges.append(Exchange(url.rsplit("/", 1)[-1], params, json_module.loads(body)))
        return HttpAnswer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[HttpStream]:
        raise AssertionError("nothing is downloaded here")


def _meant(form: Mapping[str, str], files: Sequence[Upload]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, value in form.items():
        try:
            params[name] = json_module.loads(value)
        except ValueError:
            params[name] = value
    media = json_module.dumps(params)
    for file in files:
        if f"attach://{file.name}" not in media:
            params[file.name] = BufferedInputFile(file.data, file.filename)
    return params
