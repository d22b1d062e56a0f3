"""What goes wrong on request. A fault is in force until its count is used up or it is lifted; chance is seeded."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Literal

Scope = Literal["webhooks", "api"]
FaultKind = Literal[
    "delay",  # both scopes: wait ``seconds``
    "down",  # webhooks: nothing is posted until lifted; api: every call answers a 5xx
    "duplicate", "reorder", "batch", "drop", "drop_receipts", "bad_signature",  # webhooks
    "throttle", "fail", "fail_later", "timeout_after_accept", "hold",  # api
]  # fmt: skip

WEBHOOK_FAULTS = frozenset({"delay", "down", "duplicate", "reorder", "batch", "drop", "drop_receipts", "bad_signature"})
API_FAULTS = frozenset({"delay", "down", "throttle", "fail", "fail_later", "timeout_after_accept", "hold"})


@dataclass(slots=True)
class Fault:
    scope: Scope
    kind: FaultKind
    account_id: str | None = None
    """``None`` concerns every account."""
    count: int | None = None
    """How often it still strikes; ``None``: until lifted."""
    probability: float = 1.0
    seconds: float = 0.0
    """Of a delay, or how long an accepted call is left hanging."""
    size: int = 2
    """Updates per batch, events shuffled together, or how often a duplicate is posted in all."""
    merge: bool = False
    """Of a batch: its updates share one entry and one value."""
    code: int | None = None
    subcode: int | None = None
    status: int | None = None
    retry_after: int = 5
    edge: str | None = None
    """Graph API: ``throttle`` and ``fail`` strike calls of this edge (media, block_users, …), of a ``node``, or a
    ``download``. ``None``: sends."""
    id: int = field(default_factory=itertools.count(1).__next__)


class Faults:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._faults: list[Fault] = []

    def all(self) -> list[Fault]:
        return list(self._faults)

    def add(self, fault: Fault) -> Fault:
        allowed = WEBHOOK_FAULTS if fault.scope == "webhooks" else API_FAULTS
        if fault.kind not in allowed:
            raise ValueError(f"{fault.kind} is no fault of {fault.scope}; known: {', '.join(sorted(allowed))}")
        self._faults.append(fault)
        return fault

    def lift(self, *, scope: Scope | None = None, kind: FaultKind | None = None, account_id: str | None = None) -> int:
        """Ends the faults that match all that is given. Answers how many they were."""
        kept = [
            fault
            for fault in self._faults
            if (scope is not None and fault.scope != scope)
            or (kind is not None and fault.kind != kind)
            or (account_id is not None and fault.account_id not in (None, account_id))
        ]
        lifted = len(self._faults) - len(kept)
        self._faults = kept
        return lifted

    def in_force(self, scope: Scope, kind: FaultKind, account_id: str, edge: str | None = None) -> Fault | None:
        """Without using it up."""
        for fault in self._faults:
            concerned = fault.account_id in (None, account_id) and fault.edge == edge
            if fault.kind == kind and fault.scope == scope and concerned:
                return fault
        return None

    def strike(self, scope: Scope, kind: FaultKind, account_id: str, edge: str | None = None) -> Fault | None:
        """The fault that strikes now, with one of its count used up."""
        if not self._faults:
            return None
        fault = self.in_force(scope, kind, account_id, edge)
        if fault is None or (fault.probability < 1.0 and self._chance.random() >= fault.probability):
            return None
        if fault.count is not None:
            fault.count -= 1
            if fault.count <= 0:
                self._faults.remove(fault)
        return fault
