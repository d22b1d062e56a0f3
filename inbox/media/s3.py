"""An S3-compatible store, through the optional package obstore (``pip install omnichannel-inbox[s3]``).

S3 itself keeps the invariant of ``store``: an upload, in parts or whole, becomes visible in one instant or never.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store as Bucket

from inbox.media.store import READ_CHUNK, NoSuchObject, StoreError

if TYPE_CHECKING:  # these are descriptions only: the package has no such names when it runs
    from obstore import GetOptions
    from obstore.store import RetryConfig, S3Config

_RETRY: Final[RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
"""The job that stores a file is itself repeated."""


class S3Store:
    """``prefix``: folder within the bucket. ``config``: endpoint, region, credentials; else the AWS_… environment."""

    def __init__(self, bucket: str, prefix: str, config: Mapping[str, str]) -> None:
        plain_http = config.get("endpoint", "").startswith("http://")
        self._bucket = Bucket(
            bucket,
            prefix=prefix or None,
            config=cast("S3Config", dict(config)),
            client_options={"allow_http": plain_http, "connect_timeout": "5s", "timeout": "300s"},
            retry_config=_RETRY,
        )

    async def put(self, key: str, path: Path) -> None:
        try:
            await obstore.put_async(self._bucket, key, path)
            return
        except (BaseError, OSError) as error:
            failure = _failure(error)
        raise failure

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if end is not None and end <= start:
            return
        options: GetOptions = {"range": {"offset": start} if end is None else (start, end)}
        try:
            found = await obstore.get_async(self._bucket, key, options=options)
            async for chunk in found.stream(min_chunk_size=READ_CHUNK):
                yield bytes(chunk)
            return
        except (BaseError, OSError) as error:
            failure = _failure(error)
        raise failure

    async def delete(self, key: str) -> None:
        try:
            await obstore.delete_async(self._bucket, key)
        except NotFoundError:
            return
        except (BaseError, OSError) as error:
            failure = _failure(error)
        else:
            return
        raise failure


def _failure(error: Exception) -> StoreError:
    """Raised outside of the handler: the library's own text shows the URL and the whole answer."""
    if isinstance(error, NotFoundError | FileNotFoundError):
        return NoSuchObject("the file is not in the store")
    return StoreError(f"the S3 store: {type(error).__name__}")
