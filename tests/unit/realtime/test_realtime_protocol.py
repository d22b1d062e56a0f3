"""Frames, messages and the decision about a cursor: tables, no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import orjson
import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from inbox.kernel.errors import NotFound
from inbox.kernel.eventlog import LogState, StoredEvent
from inbox.realtime.closing import CLOSINGS, CloseCode
from inbox.realtime.protocol import (
    BadFrame,
    ChangeFilter,
    Command,
    EncodedEvent,
    Filter,
    Heartbeat,
    Ping,
    Reset,
    Resume,
    TicketMessage,
    Typing,
    Viewing,
    answer,
    decode,
    encode,
    payloads_of,
    refusal,
    start_of,
    text_frame,
)

EPOCH = UUID("018f0000-0000-7000-8000-000000000001")
OTHER = UUID("018f0000-0000-7000-8000-000000000002")
CONVERSATION = UUID("018f0000-0000-7000-8000-00000000000c")


def stored(position: int, payload: str = '{"text":"hé"}', conversation_id: UUID | None = CONVERSATION) -> StoredEvent:
    return StoredEvent(
        workspace_id=OTHER,
        position=position,
        created_at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
        kind="message.created",
        payload=payload,
        conversation_id=conversation_id,
        audience=0,
    )


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_a_frame_is_what_the_websockets_library_reads(size: int) -> None:
    payload = b"x" * size
    reader = StreamReader()
    reader.feed_data(text_frame(payload))
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as parsed:
        next(parser)
    assert (parsed.value.value.data, parsed.value.value.fin, parsed.value.value.opcode) == (payload, True, 1)


def test_joined_frames_come_apart_again() -> None:
    payloads = [b"a", b"b" * 300, b"c" * 70_000, b""]
    assert payloads_of(b"".join(text_frame(one) for one in payloads)) == payloads


def test_an_event_carries_its_position_and_the_one_before() -> None:
    event = EncodedEvent(stored(7))
    (shared,) = payloads_of(event.frame)
    assert orjson.loads(shared) == {
        "type": "event",
        "position": 7,
        "previous": 6,
        "kind": "message.created",
        "at": "2026-03-02T09:00:00Z",
        "conversation_id": str(CONVERSATION),
        "data": {"text": "hé"},
    }
    assert event.frame_after(6) is event.frame
    (own,) = payloads_of(event.frame_after(2))
    assert orjson.loads(own)["previous"] == 2
    assert event.frame_after(2) is event.frame_after(2), "readers of one view share the frame"
    assert orjson.loads(payloads_of(event.frame_after(6))[0])["previous"] == 6
    assert orjson.loads(EncodedEvent(stored(1, conversation_id=None)).document(0))["conversation_id"] is None


LOG = LogState(epoch=EPOCH, head=100, floor=20)


@pytest.mark.parametrize(
    ("epoch", "after", "expected"),
    [
        pytest.param(None, None, 100, id="no cursor: from now on"),
        pytest.param(EPOCH, 100, 100, id="at the head"),
        pytest.param(EPOCH, 60, 60, id="behind"),
        pytest.param(EPOCH, 50, 50, id="as far behind as allowed"),
        pytest.param(EPOCH, 49, "too_far_behind", id="too far behind"),
        pytest.param(EPOCH, 19, "beyond_retention", id="its next event was removed"),
        pytest.param(EPOCH, 101, "future", id="from the future"),
        pytest.param(OTHER, 60, "unknown_epoch", id="another numbering"),
        pytest.param(OTHER, 1000, "unknown_epoch", id="another numbering, another length"),
    ],
)
def test_where_a_cursor_goes_on(epoch: UUID | None, after: int | None, expected: int | str) -> None:
    start = start_of(epoch, after, LOG, most_behind=50)
    if isinstance(expected, str):
        assert isinstance(start, Reset)
        assert (start.epoch, start.position, start.reason) == (EPOCH, 100, expected)
    else:
        assert start == expected


def test_the_floor_itself_can_be_resumed() -> None:
    assert start_of(EPOCH, 20, LOG) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"resume"}', Resume()),
        (f'{{"type":"resume","epoch":"{EPOCH}","after":5}}', Resume(epoch=EPOCH, after=5)),
        (
            f'{{"type":"resume","epoch":"{EPOCH}","after":0,"filter":{{"kinds":["a"]}}}}',
            Resume(epoch=EPOCH, after=0, filter=Filter(kinds=frozenset({"a"}))),
        ),
        ('{"type":"filter"}', ChangeFilter(type="filter")),
        (
            f'{{"type":"typing","conversation_id":"{CONVERSATION}","on":false}}',
            Typing(type="typing", conversation_id=CONVERSATION, on=False),
        ),
        ('{"type":"viewing","conversation_id":null}', Viewing(type="viewing")),
        ('{"type":"ping","id":"7"}', Ping(type="ping", id="7")),
        ('{"type":"ticket","ticket":"t"}', TicketMessage(type="ticket", ticket="t")),
        ('{"type":"send","id":"1","args":{"text":"x"}}', Command(type="send", id="1", args={"text": "x"})),
    ],
)
def test_messages_that_are_understood(text: str, message: object) -> None:
    assert decode(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '"resume"',
        "{}",
        '{"type":7}',
        '{"type":"resume","after":5}',
        f'{{"type":"resume","epoch":"{EPOCH}"}}',
        f'{{"type":"resume","epoch":"{EPOCH}","after":-1}}',
        f'{{"type":"resume","epoch":"{EPOCH}","after":9223372036854775808}}',
        f'{{"type":"resume","epoch":"{EPOCH}","after":1e400}}',
        '{"type":"resume","epoch":"x","after":5}',
        '{"type":"resume","filter":{"kinds":"all"}}',
        '{"type":"resume","filter":{"kind":["a"]}}',
        orjson.dumps({"type": "filter", "filter": {"kinds": [str(n) for n in range(201)]}}).decode(),
        '{"type":"typing"}',
        '{"type":"send"}',
        '{"type":"send","id":"","args":{}}',
        '{"type":"send","id":"1","args":[]}',
        '{"type":"ping","id":"\\ud800"}',
        "[" * 5000,
    ],
)
def test_messages_that_are_refused(text: str) -> None:
    with pytest.raises(BadFrame):
        decode(text)


def test_a_refusal_repeats_nothing_that_was_sent() -> None:
    with pytest.raises(BadFrame) as refused:
        decode('{"type":"ticket","ticket":["a-secret"]}')
    assert "a-secret" not in str(refused.value)


def test_answers_carry_the_id_of_their_command() -> None:
    assert orjson.loads(payloads_of(answer("7", {"ok": True}))[0]) == {
        "type": "answer",
        "id": "7",
        "result": {"ok": True},
    }
    refused = orjson.loads(payloads_of(refusal("7", NotFound("no such thing")))[0])
    assert (refused["id"], refused["error"]["code"], refused["error"]["status"]) == ("7", "not_found", 404)


def test_server_frames_name_their_type() -> None:
    assert orjson.loads(encode(Heartbeat(5))) == {"type": "heartbeat", "position": 5}
    reset = orjson.loads(encode(Reset(uuid4(), 5, "future")))
    assert (reset["type"], reset["position"], reset["reason"]) == ("reset", 5, "future")


def test_every_close_code_is_in_the_table_and_fits_a_close_frame() -> None:
    assert set(CLOSINGS) == set(CloseCode)
    assert len({closing.name for closing in CLOSINGS.values()}) == len(CLOSINGS)
    for code, closing in CLOSINGS.items():
        assert 4000 <= code <= 4999
        assert len(f"{closing.name}: {closing.reason}".encode()) <= 123
