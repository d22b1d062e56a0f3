"""Presence over several nodes, by a clock that the test moves."""

from __future__ import annotations

from uuid import UUID

from clock import FakeClock

from inbox.realtime.presence import Presence, Sighting
from inbox.realtime.protocol import Present

WORKSPACE, ADA, BOB = UUID(int=1), UUID(int=2), UUID(int=3)
HERE, THERE = UUID(int=10), UUID(int=11)


def test_an_agent_is_online_while_one_socket_is_left() -> None:
    presence = Presence(FakeClock(), expires=45)
    assert presence.learn("n", presence.arrived(WORKSPACE, ADA))
    assert not presence.learn("n", presence.arrived(WORKSPACE, ADA))
    assert not presence.learn("n", presence.left(WORKSPACE, ADA, None))
    assert presence.online(WORKSPACE) == {ADA}
    assert presence.learn("n", presence.left(WORKSPACE, ADA, None))
    assert presence.online(WORKSPACE) == frozenset()
    assert presence.states(WORKSPACE, [ADA]) == [Present(ADA, False)]
    assert list(presence.own()) == []


def test_what_an_agent_looks_at_is_the_union_of_their_screens() -> None:
    presence = Presence(FakeClock(), expires=45)
    presence.learn("n", presence.arrived(WORKSPACE, ADA))
    presence.learn("n", presence.arrived(WORKSPACE, ADA))
    assert presence.learn("n", presence.looks(WORKSPACE, ADA, None, HERE))
    assert presence.learn("m", Sighting(WORKSPACE, ADA, True, frozenset({THERE})))
    assert presence.states(WORKSPACE, [ADA]) == [Present(ADA, True, (HERE, THERE))]
    assert presence.learn("n", presence.left(WORKSPACE, ADA, HERE))
    assert presence.states(WORKSPACE, [ADA]) == [Present(ADA, True, (THERE,))]


def test_a_node_that_falls_silent_takes_its_agents_offline() -> None:
    clock = FakeClock()
    presence = Presence(clock, expires=45)
    presence.learn("other", Sighting(WORKSPACE, BOB, True))
    presence.learn("n", presence.arrived(WORKSPACE, ADA))
    clock.advance(40)
    presence.learn("n", next(presence.own()))
    assert presence.forget_stale() == []
    clock.advance(10)
    assert presence.forget_stale() == [(WORKSPACE, BOB)]
    assert presence.online(WORKSPACE) == {ADA}
