"""The brake on guessing passwords, counted in the database so that every node sees the same.

Each failure raises a level that sinks steadily; at the limit nothing is tried until it has sunk by one. An attempt is
counted before the password is looked at and taken back when it was right, so guesses sent at once cannot slip by.

The strict limit is for an e-mail from one client address: whoever guesses elsewhere does not lock the right person out.
The e-mail alone has a loose one, against guesses from many addresses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from inbox.agents import credentials as rows
from inbox.kernel.database import Database
from inbox.kernel.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class Allowance:
    """``failures`` at once, and as many again in each ``seconds``."""

    failures: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.failures / self.seconds


PER_EMAIL_THERE = Allowance(10, 15 * 60)
"""Of one e-mail from one client address."""
PER_EMAIL = Allowance(100, 15 * 60)
PER_ADDRESS = Allowance(60, 15 * 60)


class TooManyLogIns(TooManyRequests):
    code, title = "too_many_log_ins", "Too many failed log-ins"


class LogInThrottle:
    def __init__(
        self,
        database: Database,
        *,
        per_email_there: Allowance = PER_EMAIL_THERE,
        per_email: Allowance = PER_EMAIL,
        per_address: Allowance = PER_ADDRESS,
    ) -> None:
        self._database = database
        self._per_email_there = per_email_there
        self._per_email = per_email
        self._per_address = per_address

    async def attempt(self, email: str, address: str) -> None:
        """Count an attempt as failed until ``succeeded`` says otherwise. Raises ``TooManyLogIns``, and counts none."""
        async with self._database.transaction() as unit:
            for key, allowance in (
                (_address_key(address), self._per_address),
                (_there_key(email, address), self._per_email_there),
                (_email_key(email), self._per_email),
            ):
                level = await rows.raise_level(unit, key, most=allowance.failures, per_second=allowance.per_second)
                if level is not None:
                    wait = (level + 1 - allowance.failures) / allowance.per_second
                    raise TooManyLogIns("wait before you try to log in again", retry_after=max(1.0, round(wait, 1)))

    async def succeeded(self, email: str, address: str) -> None:
        async with self._database.transaction() as unit:
            await rows.lower_level(unit, _address_key(address))
            await rows.forget_level(unit, _there_key(email, address))
            await rows.lower_level(unit, _email_key(email))  # the guesses of others still count


def _address_key(address: str) -> str:
    return f"address:{address}"


def _there_key(email: str, address: str) -> str:
    return f"{_email_key(email)} {_address_key(address)}"


def _email_key(email: str) -> str:
    # Whoever mistypes an e-mail, or types a password there, leaves no readable trace; and the key stays short.
    return f"email:{hashlib.sha256(email.encode()).hexdigest()}"
