"""Turns the errors that an operator can do something about into a ``Failure``; what is left is a defect of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import asyncpg
from pydantic import ValidationError

from inbox.commands.failures import Failure
from inbox.kernel.database import DatabaseUnavailable
from inbox.kernel.errors import InboxError
from inbox.kernel.migrate import SchemaError
from inbox.kernel.postgres import PostgresUnavailable
from inbox.kernel.secrets import BadKey

P = ParamSpec("P")
T = TypeVar("T")

CHECK_THE_URL = "check INBOX_DATABASE_URL, and that the server runs and lets this role in"


def failure_of(error: Exception) -> Failure | None:
    """The failure that an expected error means to whoever typed the command; ``None`` for a defect of ours."""
    match error:
        case PostgresUnavailable():
            return Failure(error.reason, error.what_to_do)
        case SchemaError() | BadKey():
            return Failure(str(error))
        case DatabaseUnavailable():
            return Failure(error.detail, CHECK_THE_URL)
        case InboxError():
            return Failure(error.detail)
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return Failure(f"the database refused: {error}", CHECK_THE_URL)
        case ConnectionError() | TimeoutError():
            return Failure(f"the database cannot be reached: {error or type(error).__name__}", CHECK_THE_URL)
        case ValidationError():
            return Failure("; ".join(f"{name}: {fault}" for name, fault in faults_of(error)))
    return None


def faults_of(error: ValidationError) -> list[tuple[str, str]]:
    """Where and why, without the value: it may be a password."""
    return [
        (".".join(str(step) for step in fault["loc"]), fault["msg"])
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def reported(command: Callable[P, T]) -> Callable[P, T]:
    """Turn expected errors of a command that works on the database into a ``Failure``."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # whoever read our output had enough: click ends quietly
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error

    return run
