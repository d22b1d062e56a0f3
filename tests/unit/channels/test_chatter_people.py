"""The simulated customers are different people, and each the same one at every start."""

from __future__ import annotations

from typing import Literal

import pytest

from channels.simulator.chatter import SCRIPTS, _reference
from channels.simulator.world import Account

GENERATIONS = 6


@pytest.mark.parametrize("kind", ["whatsapp", "messenger", "instagram", "telegram"])
def test_nobody_has_the_id_of_somebody_else(kind: Literal["whatsapp", "messenger", "instagram", "telegram"]) -> None:
    account = Account(kind, "104857600123456", "token")
    people = [_reference(account, script, generation) for generation in range(GENERATIONS) for script in SCRIPTS]

    assert len({person.id for person in people}) == len({person.name for person in people}) == len(people)
    assert people == [_reference(account, script, n) for n in range(GENERATIONS) for script in SCRIPTS]
