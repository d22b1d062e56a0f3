"""Which errors become one line for an operator, and which do not."""

from __future__ import annotations

import pytest

from inbox.commands.failures import Failure
from inbox.commands.reporting import reported


def test_a_reader_that_had_enough_is_no_fault_of_the_database() -> None:
    @reported
    def command() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        command()


def test_a_lost_connection_says_what_to_check() -> None:
    @reported
    def command() -> None:
        raise ConnectionRefusedError("refused")

    with pytest.raises(Failure) as failure:
        command()
    assert "INBOX_DATABASE_URL" in (failure.value.what_to_do or "")
