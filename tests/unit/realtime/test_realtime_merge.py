"""The heart of promise P3 without I/O: whatever order commits, hand-overs, reads, drops and resumes come in, every
client ends with exactly the events it may see, in order, each once, and could have noticed any loss."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inbox.agents.principal import Principal
from inbox.kernel.eventlog import LogState, StoredEvent
from inbox.realtime.closing import CloseCode
from inbox.realtime.protocol import EncodedEvent, Filter, payloads_of
from inbox.realtime.room import Room
from inbox.realtime.sequence import MOST_PARKED, Ring, Sequencer
from inbox.realtime.session import HoleInLog, Quota, Replay, Session, View

WORKSPACE = UUID(int=1)
EPOCH = UUID(int=2)
KINDS = ("message.created", "note.created")
CONVERSATIONS = (UUID(int=10), UUID(int=11))
AT = datetime(2026, 3, 2, tzinfo=UTC)
QUEUE_BYTES = 6000


def make_event(position: int, kind: str = KINDS[0], audience: int = 0, where: UUID = CONVERSATIONS[0]) -> StoredEvent:
    return StoredEvent(WORKSPACE, position, AT, kind, f'{{"n":{position}}}', where, audience)


def make_principal(role: str) -> Principal:
    return Principal(WORKSPACE, UUID(int=3), "Ada", role, UUID(int=4))  # type: ignore[arg-type]


class Wire:
    """A socket whose other end reads when the test says so."""

    def __init__(self) -> None:
        self.waiting = b""
        self.closed: CloseCode | None = None
        self.quota = Quota()

    def offer(self, frames: bytes, limit: int) -> bool:
        if self.closed is not None:
            return True
        if not self.quota.admits(len(self.waiting), len(frames), limit):
            return False
        self.waiting += frames
        return True

    def backlog(self) -> int:
        return len(self.waiting)

    async def drained(self) -> None:
        raise AssertionError("nothing here waits")

    def hang_up(self, code: CloseCode, detail: str = "") -> None:
        self.closed = self.closed or code


class Client:
    """Keeps what the guarantee is about: its cursor and what it received."""

    def __init__(self, view: View, after: int) -> None:
        self.view = view
        self.began = self.cursor = after
        self.received: list[int] = []
        self.session: Session | None = None
        self.replay: Replay | None = None
        self.wire = Wire()

    def read(self) -> None:
        for payload in payloads_of(self.wire.waiting):
            frame = orjson.loads(payload)
            if frame["type"] == "event":
                assert frame["position"] > self.cursor, "never twice, never backwards"
                assert frame["previous"] <= self.cursor, "nothing was lost in between"
                self.received.append(frame["position"])
                self.cursor = frame["position"]
            elif frame["type"] == "heartbeat":
                assert frame["position"] >= self.cursor
                self.cursor = frame["position"]
        self.wire.waiting = b""


class Stream(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[StoredEvent] = []
        self.not_handed_over: list[StoredEvent] = []
        self.clients: list[Client] = []
        self.room = Room(
            WORKSPACE,
            queue_bytes=QUEUE_BYTES,
            on_pending=lambda _: None,
            on_behind=self._behind,
            ring_events=6,
            ring_bytes=5000,
        )

    @initialize(before=st.integers(0, 12))
    def the_log_existed_before(self, before: int) -> None:
        self._commit([(KINDS[0], 0, CONVERSATIONS[0])] * before)
        self.room.open(LogState(EPOCH, len(self.log), 0))
        for role, wanted in (("agent", None), ("supervisor", Filter(kinds=frozenset(KINDS[:1])))):
            client = Client(View.of(make_principal(role), wanted), self.room.head)
            self.clients.append(client)
            self._resume(client)
            self._turn(client, 300)

    @rule(
        entries=st.lists(
            st.tuples(st.sampled_from(KINDS), st.sampled_from([0, 1]), st.sampled_from(CONVERSATIONS)),
            min_size=1,
            max_size=5,
        ),
        at_once=st.booleans(),
    )
    def commit(self, entries: list[tuple[str, int, UUID]], at_once: bool) -> None:
        self._commit(entries)
        if at_once:
            self.room.offer(self.not_handed_over[-len(entries) :])
            del self.not_handed_over[-len(entries) :]

    def _commit(self, entries: list[tuple[str, int, UUID]]) -> None:
        for kind, audience, where in entries:
            event = make_event(len(self.log) + 1, kind, audience, where)
            self.log.append(event)
            self.not_handed_over.append(event)

    @rule(data=st.data())
    def hand_over_some_in_any_order(self, data: st.DataObject) -> None:
        """Those left out were committed by another node; repeats happen too."""
        if not self.log:
            return
        some = data.draw(st.lists(st.sampled_from(self.not_handed_over or self.log), max_size=6))
        self.room.offer(some)
        self.not_handed_over = [event for event in self.not_handed_over if event not in some]

    @rule(limit=st.integers(1, 8))
    def read_the_log(self, limit: int) -> None:
        self.room.offer(self.log[self.room.head : self.room.head + limit])

    @rule()
    def flush(self) -> None:
        self.room.flush()

    @rule()
    def heartbeat(self) -> None:
        self.room.heartbeat()

    @rule(
        role=st.sampled_from(["agent", "supervisor"]),
        kinds=st.sampled_from([None, frozenset(KINDS[:1])]),
        where=st.sampled_from([None, frozenset(CONVERSATIONS[:1])]),
        data=st.data(),
    )
    @precondition(lambda self: len(self.clients) < 5)
    def connect(
        self, role: str, kinds: frozenset[str] | None, where: frozenset[UUID] | None, data: st.DataObject
    ) -> None:
        view = View.of(make_principal(role), Filter(kinds=kinds, conversation_ids=where))
        client = Client(view, data.draw(st.integers(0, self.room.head)))
        self.clients.append(client)
        self._resume(client)

    def _resume(self, client: Client) -> None:
        client.wire = Wire()
        client.session = Session(UUID(int=5), make_principal("agent"), client.wire, self.room)
        client.replay = Replay(client.cursor, client.view)

    @rule(data=st.data())
    @precondition(lambda self: self.clients)
    def drop(self, data: st.DataObject) -> None:
        """What is on the wire may arrive or not; the client comes back with the cursor it has."""
        client = data.draw(st.sampled_from(self.clients))
        if data.draw(st.booleans()):
            client.read()
        self._leave(client)

    def _behind(self, session: Session, replay: Replay) -> None:
        (client,) = [one for one in self.clients if one.session is session]
        client.replay = replay

    def _leave(self, client: Client) -> None:
        if client.session is not None:
            self.room.leave(client.session)
        client.session = client.replay = None

    @rule(data=st.data())
    @precondition(lambda self: self.clients)
    def client_reads(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).read()

    @rule(data=st.data(), turns=st.integers(1, 8), most_bytes=st.integers(1, 900))
    @precondition(lambda self: self.clients)
    def replay(self, data: st.DataObject, turns: int, most_bytes: int) -> None:
        client = data.draw(st.sampled_from(self.clients))
        for _ in range(turns):
            self._turn(client, most_bytes)
            if client.replay is None or client.wire.closed is not None:
                break

    def _turn(self, client: Client, most_bytes: int) -> None:
        if client.session is None and client.cursor <= self.room.head:
            self._resume(client)
        session, replay = client.session, client.replay
        if session is None or replay is None:
            return
        if replay.cursor == self.room.head:
            self.room.join(session, replay.view)
            client.replay = None
            return
        events = self.room.recent(replay.cursor, 4)
        if events is None:
            page_end = min(self.room.head, replay.cursor + 4)
            events = [EncodedEvent(event) for event in self.log[replay.cursor : page_end]]
        taken = replay.take(events, most_bytes)
        frames = b"".join([event.frame_after(previous) for event, previous in taken])
        if frames and not session.outlet.offer(frames, QUEUE_BYTES):
            self.room.drop(session)

    @invariant()
    def a_closed_socket_is_live_nowhere(self) -> None:
        for client in self.clients:
            if client.wire.closed is not None and client.session is not None:
                assert client.session.lane is None
                client.read()  # what was sent before the close still arrives
                self._leave(client)

    @invariant()
    def nobody_has_what_it_may_not_see_or_misses_what_it_may(self) -> None:
        for client in self.clients:
            assert client.received == self._owed(client, client.cursor)

    def _owed(self, client: Client, upto: int) -> list[int]:
        events = [EncodedEvent(event) for event in self.log[client.began : upto]]
        return [event.position for event in events if client.view.shows(event)]

    def teardown(self) -> None:
        """However it went, reading the log and resuming brings everybody to the end."""
        self.room.offer(self.log[self.room.head :])
        assert self.room.head == len(self.log)
        self._settle()
        self.room.heartbeat()
        self._settle()  # those who had left too much unread were closed, and come back
        for client in self.clients:
            assert client.cursor == len(self.log)
            assert client.received == self._owed(client, len(self.log))

    def _settle(self) -> None:
        for client in self.clients:
            for _ in range(3 * len(self.log) + 5):
                client.read()
                if client.wire.closed is not None:
                    self._leave(client)
                elif client.session is not None and client.session.lane is not None:
                    break
                self._turn(client, 300)
            client.read()


TestStream = Stream.TestCase
TestStream.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, phases=[Phase.explicit, Phase.generate]
)


@pytest.mark.parametrize(
    ("offers", "let_through"),
    [
        pytest.param([[1, 2, 3]], [[1, 2, 3]], id="in order"),
        pytest.param([[2], [1], [3]], [[], [1, 2], [3]], id="overtaken"),
        pytest.param([[3, 2], [1]], [[], [1, 2, 3]], id="reversed"),
        pytest.param([[1], [1, 2], [2, 1]], [[1], [2], []], id="repeated"),
        pytest.param([[5], [1, 2, 3]], [[], [1, 2, 3]], id="a gap stays"),
        pytest.param([[3], [1, 2, 3, 4]], [[], [1, 2, 3, 4]], id="read over what was parked"),
    ],
)
def test_the_sequencer(offers: list[list[int]], let_through: list[list[int]]) -> None:
    sequencer = Sequencer(0)
    got = [[event.position for event in sequencer.offer(map(make_event, positions))] for positions in offers]
    assert got == let_through
    assert sequencer.gap == (offers[0] == [5])


def test_the_sequencer_forgets_what_it_cannot_keep_but_not_that_there_is_a_gap() -> None:
    sequencer = Sequencer(0)
    sequencer.offer(make_event(position) for position in range(2, MOST_PARKED + 10))
    assert sequencer.gap
    assert [event.position for event in sequencer.offer([make_event(1)])] == [1]
    assert sequencer.gap


def test_the_ring_is_bounded_in_count_and_bytes() -> None:
    ring = Ring(most=10, most_bytes=10**9)
    for position in range(1, 101):
        ring.append(EncodedEvent(make_event(position)))
    assert ring.after(89, 100) is None
    kept = ring.after(90, 100)
    assert kept is not None
    assert [event.position for event in kept] == list(range(91, 101))
    assert ring.after(100, 5) == []
    small = Ring(most=1000, most_bytes=1)
    small.append(EncodedEvent(make_event(1)))
    assert small.after(0, 1) is None


def test_a_replay_does_not_step_over_a_hole() -> None:
    replay = Replay(3, View.of(make_principal("agent"), None))
    with pytest.raises(HoleInLog):
        replay.take([EncodedEvent(make_event(5))], 100)


def test_an_audience_nobody_knows_is_seen_by_no_one() -> None:
    assert not View.of(make_principal("admin"), None).shows(EncodedEvent(make_event(1, audience=7)))


def live(room: Room, wire: Wire, role: str = "agent", wanted: Filter | None = None) -> Session:
    session = Session(UUID(int=9), make_principal(role), wire, room)
    room.join(session, View.of(session.principal, wanted))
    return session


def make_room() -> Room:
    room = Room(WORKSPACE, queue_bytes=QUEUE_BYTES, on_pending=lambda _: None, on_behind=lambda _, __: None)
    room.open(LogState(EPOCH, 0, 0))
    return room


def test_readers_of_one_view_get_the_same_bytes_and_a_burst_is_one_write() -> None:
    room, writes = make_room(), []

    class Recorder(Wire):
        def offer(self, frames: bytes, limit: int) -> bool:
            writes.append(frames)
            return True

    live(room, Recorder())
    live(room, Recorder())
    writes.clear()
    room.offer([make_event(1), make_event(2), make_event(3)])
    room.flush()
    assert len(writes) == 2
    assert writes[0] is writes[1]
    assert len(payloads_of(writes[0])) == 3


def test_a_slow_socket_is_closed_by_name_and_the_others_go_on() -> None:
    room, slow, quick = make_room(), Wire(), Wire()
    sessions = [live(room, slow), live(room, quick)]
    for position in range(1, 200):
        room.offer([make_event(position)])
        room.flush()
        quick.waiting = b""
    assert slow.closed is CloseCode.SLOW_CONSUMER
    assert len(slow.waiting) <= QUEUE_BYTES
    assert quick.closed is None
    assert [session.lane is None for session in sessions] == [True, False]


def test_a_burst_sends_those_to_a_replay_who_could_not_have_read_it_and_closes_nobody() -> None:
    room, wires = make_room(), [Wire(), Wire()]
    sessions = [live(room, wire) for wire in wires]
    for wire in wires:
        wire.waiting = b""
    room.offer([make_event(1, audience=1)])
    room.flush()
    most = QUEUE_BYTES // 100
    room.offer([make_event(position) for position in range(2, most + 2)])
    room.flush()
    for session, wire in zip(sessions, wires, strict=True):
        assert (session.lane, wire.closed, wire.waiting) == (None, None, b"")
        assert session.replay is not None
        assert (session.replay.cursor, session.replay.sent) == (1, 0), "the first was not for them"
    room.offer([make_event(most + 2)])
    room.flush()
    assert [wire.waiting for wire in wires] == [b"", b""], "they are live no more"


@pytest.mark.parametrize(
    ("offers", "admitted"),
    [
        pytest.param([(0, 20), (20, 20), (40, 60), (100, 1)], [True, True, True, False], id="up to the limit"),
        pytest.param([(0, 10_000)], [True], id="any size when nothing waits"),
        pytest.param([(25, 10_000)], [True], id="any size when little waits"),
        pytest.param([(26, 10_000)], [False], id="no more than little"),
        pytest.param([(0, 1000), (1000, 100)], [True, True], id="a large one does not count"),
        pytest.param([(0, 1000), (1000, 101)], [True, False], id="what comes behind it does"),
        pytest.param([(0, 1000), (10, 20), (30, 71)], [True, True, False], id="it is forgotten when it was read"),
    ],
)
def test_a_quota_counts_what_was_left_unread(offers: list[tuple[int, int]], admitted: list[bool]) -> None:
    quota = Quota()
    assert [quota.admits(waiting, size, 100) for waiting, size in offers] == admitted


def test_notices_are_the_first_thing_a_busy_socket_goes_without() -> None:
    room, wire = make_room(), Wire()
    live(room, wire)
    wire.waiting = b""
    busy = b"x" * (QUEUE_BYTES // 4)
    room.whisper(b"a notice", None)
    assert wire.waiting == b"a notice"
    wire.waiting = busy
    room.whisper(b"a notice", None)
    assert wire.waiting == busy
    assert wire.closed is None


def test_a_rebuilt_log_resets_every_live_reader() -> None:
    room, wire = make_room(), Wire()
    session = live(room, wire)
    room.offer([make_event(1)])
    room.rebuild(LogState(UUID(int=77), 40, 0), "log_rebuilt")
    frames = [orjson.loads(payload) for payload in payloads_of(wire.waiting)]
    assert [frame["type"] for frame in frames] == ["heartbeat", "event", "reset"]
    assert frames[2] == {"type": "reset", "epoch": str(UUID(int=77)), "position": 40, "reason": "log_rebuilt"}
    assert session.lane is None
    assert room.head == 40
