"""What every adapter has to keep, whatever its channel. A new one adds its lines to ``contract_channels``."""

from __future__ import annotations

import json
import string
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import get_args

import orjson
import pytest
import regex
from contract_channels import ADAPTERS, CHANNELS, ENDPOINTS, PROVIDERS, TOKEN
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from channels.abilities import (
    Connects,
    EditsMessages,
    Endpoint,
    Finding,
    HasTemplates,
    Moderates,
    RenewsToken,
)
from channels.adapter import Adapter, Http, HttpAnswer, Provider, WebhookSecrets
from channels.content import ContactCard, MediaKind
from channels.errors import ChannelError, ContentRefused, FetchError, SendError
from channels.inbound import Inbound, TemplateChanged, UnsupportedEvent
from channels.outbound import (
    Accepted,
    Choice,
    ChoiceSection,
    Envelope,
    OutboundAlbum,
    OutboundChoices,
    OutboundContacts,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundTemplate,
    OutboundText,
    Piece,
)
from channels.split import measure
from channels.types import Account, Address, JsonValue

SECRETS = WebhookSecrets(signing=("first secret", "second secret"), verify_token="handshake")

FAULT_CODES = frozenset(
    (
        "token_invalid", "permission_missing", "rate_limited", "temporary", "window_closed", "recipient_unavailable",
        "recipient_blocked_us", "opted_out", "held_back", "policy", "billing", "media_refused", "parameter_invalid",
        "template_invalid", "identity_mismatch", "thread_not_ours", "not_found", "not_offered", "unknown_error",
        "outcome_unknown",
    )
)  # fmt: skip


every_adapter = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=list(ADAPTERS))
every_provider = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))
patient = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def test_the_registry_is_covered() -> None:
    assert CHANNELS.keys() == ADAPTERS.keys()
    assert ENDPOINTS.keys() == PROVIDERS.keys()
    for kind, adapter in ADAPTERS.items():
        assert adapter.kind == kind
        assert adapter.provider in PROVIDERS
        assert list(CHANNELS[kind].payloads.glob("*.json")), f"no recorded payloads of {kind}"


# --- Capabilities -----------------------------------------------------------------------------------------------------


@every_adapter
def test_capabilities_are_complete_data(adapter: Adapter) -> None:
    can = adapter.capabilities
    told = orjson.loads(orjson.dumps(can))
    assert told["text"] == {"maximum": can.text.maximum, "unit": can.text.unit}
    assert can.text.maximum > 0
    assert can.rates
    assert all(rate.count > 0 and rate.seconds > 0 and rate.burst >= 1 for rate in can.rates)
    assert can.media
    assert all(rule.max_bytes > 0 for rule in can.media.values())
    assert all(rule.maximum > 0 and rule.sections > 0 for rule in can.choices.values())
    assert (can.reactions == "fixed") == bool(can.reaction_emoji)
    assert can.album >= 1
    assert can.window is None or can.window.hours > 0


@every_adapter
def test_abilities_and_capabilities_say_the_same(adapter: Adapter) -> None:
    can = adapter.capabilities
    assert isinstance(adapter, EditsMessages) == (can.edit or can.delete)
    assert isinstance(adapter, Moderates) == can.blocks_people
    assert isinstance(adapter, HasTemplates) == (can.templates == "synced")


STRUCTURE = frozenset(
    ("album.minimum", "contacts.name", "contacts.phone", "template.body", "template.buttons", "template.header")
)
"""What a refusal may name that is no limit of a channel: what makes the content what it is."""


def published(adapter: Adapter, limit: str) -> bool:
    """Whether a client finds the limit in the capabilities that the API shows. Whatever must be there at all has a
    ``minimum`` of one, and a link is one everywhere."""
    if limit in STRUCTURE or limit.endswith((".minimum", ".url")):
        return True
    value = orjson.loads(orjson.dumps(adapter.capabilities))
    for name in limit.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def refused(adapter: Adapter, part: OutboundPart) -> ContentRefused:
    with pytest.raises(ContentRefused) as error:
        adapter.plan([OutboundText("fine"), part])
    assert error.value.part == 1
    assert published(adapter, error.value.limit), error.value.limit
    assert error.value.reason
    return error.value


def media(adapter: Adapter, kind: MediaKind, **facts: object) -> OutboundMedia:
    rule = adapter.capabilities.media.get(kind)
    mime_type = rule.mime_types[0] if rule and rule.mime_types else None
    return OutboundMedia(kind, **{"media_id": "m1", "mime_type": mime_type, "filename": "f", **facts})  # type: ignore[arg-type]


@every_adapter
@pytest.mark.parametrize("kind", get_args(MediaKind))
def test_media_are_planned_as_the_capabilities_say(adapter: Adapter, kind: MediaKind) -> None:
    rule = adapter.capabilities.media.get(kind)
    if rule is None:
        refused(adapter, media(adapter, kind))
        return
    pieces = adapter.plan([media(adapter, kind, size=rule.max_bytes)])
    assert [piece.media_ids for piece in pieces] == [("m1",)]
    assert refused(adapter, media(adapter, kind, size=rule.max_bytes + 1)).allowed == rule.max_bytes
    if rule.mime_types:
        refused(adapter, media(adapter, kind, mime_type="application/x-unheard-of"))


@every_adapter
@pytest.mark.parametrize("kind", get_args(MediaKind))
def test_a_caption_of_any_length_arrives_or_is_refused(adapter: Adapter, kind: MediaKind) -> None:
    """Refused with the limit, or sent on as text where the file cannot carry it: never cut, never dropped."""
    rule = adapter.capabilities.media.get(kind)
    if rule is None:
        return
    for length in (1, rule.caption.maximum if rule.caption else 0, 1025):
        caption = "x" * length
        told = attempt(adapter, media(adapter, kind, caption=caption))
        if isinstance(told, ContentRefused):
            assert rule.caption is not None, "words that a kind cannot carry follow as a text"
            assert (told.code, told.allowed) == ("too_long", rule.caption.maximum)
            assert length > rule.caption.maximum
        else:
            assert "".join(piece.text or "" for piece in told) == caption
            assert told[0].media_ids == ("m1",)


def attempt(adapter: Adapter, part: OutboundPart) -> tuple[Piece, ...] | ContentRefused:
    try:
        return adapter.plan([part])
    except ContentRefused as refusal:
        return refusal


@every_adapter
def test_an_album_arrives_whole_and_in_order(adapter: Adapter) -> None:
    can = adapter.capabilities
    kinds: list[MediaKind] = [kind for kind in get_args(MediaKind) if kind in can.media][:3]
    items = [media(adapter, kind, media_id=f"m{number}") for number, kind in enumerate(kinds * can.album * 2)]
    pieces = [piece for piece in adapter.plan([OutboundAlbum(tuple(items), "Our trip")]) if piece.media_ids]
    assert [one for piece in pieces for one in piece.media_ids] == [item.media_id for item in items]
    assert all(len(piece.media_ids) <= can.album for piece in pieces)
    assert refused(adapter, OutboundAlbum(())).code == "empty"


@every_adapter
@pytest.mark.parametrize("style", ["buttons", "quick_replies", "list"])
def test_choices_are_planned_as_the_capabilities_say(adapter: Adapter, style: str) -> None:
    def offered(count: int, title: str = "{}") -> OutboundChoices:
        items = tuple(Choice(title.format(number), f"p{number}") for number in range(count))
        return OutboundChoices(style, "Which?", (ChoiceSection(items),), label="Choose")  # type: ignore[arg-type]

    rule = adapter.capabilities.choices.get(style)  # type: ignore[call-overload]
    if rule is None:
        refused(adapter, offered(1))
        return
    [piece] = adapter.plan([offered(rule.maximum)])
    assert piece.text == "Which?"
    assert refused(adapter, offered(rule.maximum + 1)).allowed == rule.maximum
    refused(adapter, offered(0))
    assert refused(adapter, offered(1, "x" * (rule.title.maximum + 1))).allowed == rule.title.maximum


@every_adapter
@pytest.mark.parametrize(
    ("capability", "part"),
    [
        ("location", OutboundLocation(48.2, 16.4)),
        ("contacts", OutboundContacts((ContactCard("Bob Roe", ("+15551230002",)),))),
        ("templates", OutboundTemplate("order_update", "en_US")),
        ("reactions", OutboundReaction("444:1", "👍")),
    ],
)
def test_other_parts_are_planned_as_the_capabilities_say(adapter: Adapter, capability: str, part: OutboundPart) -> None:
    if getattr(adapter.capabilities, capability):
        [piece] = adapter.plan([part])
        assert orjson.loads(orjson.dumps(piece.payload)) == piece.payload
    else:
        refused(adapter, part)


LONG = "x" * 9000


def offering(style: str, choices: Sequence[Choice], **words: str) -> OutboundChoices:
    given = {"text": "Which?", "label": "Choose", **words}
    return OutboundChoices(style, sections=(ChoiceSection(tuple(choices)),), **given)  # type: ignore[arg-type]


def unfit_choices(style: str) -> Iterator[OutboundPart]:
    yield from (offering(style, [Choice("a")], **{name: LONG}) for name in ("header", "footer", "text", "label"))
    yield from (offering(style, [Choice("a")], **{name: " "}) for name in ("text", "label"))
    yield offering(style, [Choice("a")], label="")
    yield offering(style, [Choice("a", "p"), Choice("b", "p")])
    yield offering(style, [Choice(" ")])
    yield offering(style, [])
    yield offering(style, [Choice(LONG)])
    yield offering(style, [Choice("a", LONG)])
    yield offering(style, [Choice("a", description=LONG)])
    yield offering(style, [Choice("a"), Choice("b", url="https://a.test")])
    yield offering(style, [Choice("a", url="no link")])
    yield offering(style, [Choice(str(number)) for number in range(200)])
    for title in (LONG, None):
        sections = ChoiceSection((Choice("a"),), title), ChoiceSection((Choice("b"),), "B")
        yield OutboundChoices(style, "Which?", sections, label="Choose")  # type: ignore[arg-type]
    yield OutboundChoices(style, "?", (ChoiceSection((Choice("a"),), "A"),) * 200, label="x")  # type: ignore[arg-type]


def unfit_files(adapter: Adapter, kind: MediaKind) -> Iterator[OutboundPart]:
    yield media(adapter, kind, media_id=None)
    yield media(adapter, kind, media_id=None, url="ftp://a.test")
    yield media(adapter, kind, media_id=None, url="https://a.test", size=2**40)
    yield media(adapter, kind, size=2**40)
    yield media(adapter, kind, caption=LONG)
    yield media(adapter, kind, mime_type="text/x-unheard-of")
    yield media(adapter, kind, mime_type="audio/ogg; codecs=vorbis")
    yield media(adapter, kind, width=9000, height=1001)
    yield media(adapter, kind, width=2001, height=100)


def unfit(adapter: Adapter) -> Iterator[OutboundPart]:
    for style in ("buttons", "quick_replies", "list"):
        yield from unfit_choices(style)
    for kind in get_args(MediaKind):
        yield from unfit_files(adapter, kind)
    yield OutboundAlbum(())
    yield OutboundText(" ")
    yield OutboundLocation(91, 0)
    yield from (OutboundContacts(cards) for cards in ((), (ContactCard(None),)))
    yield from (OutboundReaction(target, emoji) for target in ("", "444:1") for emoji in ("abc", "🦖"))
    yield OutboundTemplate("", "en")
    yield OutboundTemplate("t", "en", media=(OutboundMedia("image", media_id="m"),))
    values = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "parameter_name": "n"}]
    yield OutboundTemplate("t", "en", ({"type": "body", "parameters": values},))  # type: ignore[dict-item]


@every_adapter
def test_every_limit_that_a_refusal_names_is_published(adapter: Adapter) -> None:
    told = [attempt(adapter, part) for part in unfit(adapter)]
    refusals = [one for one in told if isinstance(one, ContentRefused)]
    assert len(refusals) > 20
    assert {one.limit for one in refusals if not published(adapter, one.limit)} == set()
    long = [one for one in refusals if one.code in ("too_long", "too_many", "too_large")]
    assert all(one.allowed is not None for one in long)


@every_adapter
def test_nothing_and_blanks_are_refused(adapter: Adapter) -> None:
    with pytest.raises(ContentRefused):
        adapter.plan([])
    refused(adapter, OutboundText(" \n "))


# --- Splitting --------------------------------------------------------------------------------------------------------

graphemes = st.sampled_from(["👩‍👩‍👧", "🇩🇪", "e\u0301", "\r\n", "\n\n", "\n", " ", ". ", "word", "नि", "한"])
snippets = st.lists(graphemes | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), max_size=30)


@patient
@given(data=st.data())
@every_adapter
def test_a_text_of_any_length_arrives_whole_in_pieces_that_fit(adapter: Adapter, data: st.DataObject) -> None:
    limit = adapter.capabilities.text
    snippet = "".join(data.draw(snippets))
    wanted = data.draw(st.integers(min_value=1, max_value=limit.maximum * 3))
    text = snippet * (wanted // max(measure(snippet, limit.unit), 1) + 1)
    assume(text.strip())
    found = list(regex.finditer(r"\X", text))
    assume(all(measure(grapheme[0], limit.unit) <= limit.maximum for grapheme in found))
    pieces = [piece.text or "" for piece in adapter.plan([OutboundText(text)])]
    assert all(piece.strip() and measure(piece, limit.unit) <= limit.maximum for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    borders = {0, *(grapheme.end() for grapheme in found)}
    position = 0
    for piece in pieces:
        start = text.index(piece, position)
        position = start + len(piece)
        assert start in borders, "a cut divided a grapheme"
        assert position in borders, "a cut divided a grapheme"


# --- Parsing ----------------------------------------------------------------------------------------------------------


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
    elif is_dataclass(value):
        for one in fields(value):
            yield from strings(getattr(value, one.name))


def check_items(items: list[Inbound]) -> None:
    """Everything that leaves a parser can be stored and routed."""
    for item in items:
        for text in strings(item):
            assert "\x00" not in text
            text.encode()
        orjson.dumps(item)
        assert isinstance(item.occurred_at, datetime | None)
        assert item.occurred_at is None or item.occurred_at.tzinfo is not None
        assert item.account_id or isinstance(item, UnsupportedEvent)
        external_id = getattr(item, "external_id", "-")
        if isinstance(item, TemplateChanged) and external_id is None:
            continue
        assert isinstance(external_id, str)
        assert 0 < len(external_id) <= 1024


@cache
def recorded(kind: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(CHANNELS[kind].payloads.glob("*.json"))]


@every_adapter
def test_recorded_payloads_are_understood(adapter: Adapter) -> None:
    provider = PROVIDERS[adapter.provider]
    for body in recorded(adapter.kind):
        items = provider.parse(body, account_id="444")
        assert items, f"nothing is told of {body[:200]!r}"
        check_items(items)
        assert provider.parse(body, account_id="444") == items, "parsing is not pure"


anything: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\x00", "a\x00b", "", "0", "-1", "9" * 30, "1749416383", "🇩🇪", "x" * 3000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
"""Floats include NaN and infinity, texts lone surrogates are added by ``dumped``."""


def dumped(value: JsonValue) -> bytes:
    """JSON as lenient writers make it: NaN, huge integers and (here and there) half a surrogate pair."""
    return json.dumps(value).replace("🇩🇪", r"\ud83c").encode()


@patient
@given(body=st.binary(max_size=200))
@every_provider
def test_any_bytes_are_parsed(provider: Provider, body: bytes) -> None:
    check_items(provider.parse(body, account_id="444"))


@patient
@given(value=anything)
@every_provider
def test_any_json_is_parsed(provider: Provider, value: JsonValue) -> None:
    check_items(provider.parse(dumped(value), account_id="444"))


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"object":' * 5000, b'{"entry":' + b"[" * 900 + b"]" * 900 + b"}"])
@every_provider
def test_deep_nesting_is_parsed(provider: Provider, body: bytes) -> None:
    check_items(provider.parse(body, account_id="444"))


def places(value: JsonValue) -> list[tuple[dict[str, JsonValue] | list[JsonValue], str | int]]:
    """Every place in ``value`` where something else could stand."""
    found: list[tuple[dict[str, JsonValue] | list[JsonValue], str | int]] = []
    inner: list[tuple[str | int, JsonValue]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for key, item in inner:
        found.append((value, key))  # type: ignore[arg-type]
        found += places(item)
    return found


@settings(parent=patient, max_examples=200)
@given(data=st.data())
@every_adapter
def test_mutated_payloads_are_parsed(adapter: Adapter, data: st.DataObject) -> None:
    payload = orjson.loads(data.draw(st.sampled_from(recorded(adapter.kind))))
    for _ in range(data.draw(st.integers(min_value=1, max_value=3))):
        around = places(payload)
        if not around:
            break
        container, key = data.draw(st.sampled_from(around))
        if data.draw(st.booleans()):
            container[key] = data.draw(anything)  # type: ignore[index]
        else:
            del container[key]  # type: ignore[arg-type]
    check_items(PROVIDERS[adapter.provider].parse(dumped(payload), account_id="444"))


@patient
@given(data=st.data())
@every_adapter
def test_damaged_payloads_are_parsed(adapter: Adapter, data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(recorded(adapter.kind))))
    for _ in range(data.draw(st.integers(min_value=1, max_value=4))):
        position = data.draw(st.integers(min_value=0, max_value=len(body) - 1))
        body[position : position + 1] = data.draw(st.binary(max_size=3))
        assume(body)
    check_items(PROVIDERS[adapter.provider].parse(bytes(body), account_id="444"))


# --- Authenticity -----------------------------------------------------------------------------------------------------


@every_provider
def test_only_the_provider_is_believed(provider: Provider) -> None:
    endpoint, body = ENDPOINTS[provider.name], b'{"a":1}'
    for secret in SECRETS.signing:
        assert provider.verify(endpoint.headers(body, secret), body, SECRETS)
    for stranger in ("", "first", "first secret ", "third secret", "f\u00efrst"):
        assert not provider.verify(endpoint.headers(body, stranger), body, SECRETS)
    assert not provider.verify({}, body, SECRETS)
    assert not provider.verify(endpoint.headers(body, ""), body, WebhookSecrets(signing=("",)))
    assert not provider.verify(endpoint.headers(body, ""), body, WebhookSecrets(signing=()))


@patient
@given(body=st.binary(min_size=1, max_size=100), position=st.integers(min_value=0), bit=st.integers(0, 7))
@every_provider
def test_an_altered_body_is_not_believed(provider: Provider, body: bytes, position: int, bit: int) -> None:
    endpoint = ENDPOINTS[provider.name]
    headers = endpoint.headers(body, SECRETS.signing[0])
    altered = bytearray(body)
    altered[position % len(body)] ^= 1 << bit
    assert provider.verify(headers, body, SECRETS)
    assert provider.verify(headers, bytes(altered), SECRETS) is not endpoint.signs_the_body


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(SECRETS)
    assert "handshake" not in repr(SECRETS)
    assert TOKEN not in repr([channel.account for channel in CHANNELS.values()])


# --- Sending ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Answering:
    """A client whose provider gives the same answer to everything."""

    answer: HttpAnswer | Exception
    urls: list[str] = field(default_factory=list)

    async def request(self, method: str, url: str, **options: object) -> HttpAnswer:
        self.urls.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def client(answer: HttpAnswer | Exception) -> Http:
    return Answering(answer)  # type: ignore[return-value]


async def send(adapter: Adapter, answer: HttpAnswer | Exception) -> Accepted:
    channel = CHANNELS[adapter.kind]
    [piece] = adapter.plan([OutboundText("hi")])
    return await adapter.send(client(answer), channel.account, Envelope(piece, (channel.peer,), "corr"), ())


def check_error(error: ChannelError) -> None:
    assert isinstance(error, SendError | FetchError)
    fault = error.fault
    assert fault.code in FAULT_CODES
    assert fault.reason.strip(string.whitespace)
    assert fault.retry_after is None or fault.retry_after >= 0
    assert TOKEN not in f"{error!r} {error} {fault!r} {error.args!r}"
    assert fault.code != "outcome_unknown" or not fault.retryable


STATUSES = [301, 400, 401, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503, 504]


@every_adapter
@pytest.mark.parametrize("status", STATUSES)
async def test_every_refusal_is_an_error_of_facts(adapter: Adapter, status: int) -> None:
    error = CHANNELS[adapter.kind].error
    bodies = [b"", b"<html>", b"{}", b"[]", b"null", b'"x"', orjson.dumps(error), TOKEN.encode(), b"[" * 3000]
    for body in bodies:
        with pytest.raises(SendError) as refusal:
            await send(adapter, HttpAnswer(status, {}, body))
        check_error(refusal.value)


@every_adapter
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"{}"])
async def test_a_broken_answer_leaves_the_outcome_unknown(adapter: Adapter, status: int, body: bytes) -> None:
    with pytest.raises(SendError) as refusal:
        await send(adapter, HttpAnswer(status, {}, body))
    assert (refusal.value.fault.code, refusal.value.fault.retryable) == ("outcome_unknown", False)


@patient
@given(value=anything, status=st.sampled_from([200, *STATUSES]), wait=st.text(max_size=10))
@every_adapter
async def test_any_answer_is_understood(adapter: Adapter, value: JsonValue, status: int, wait: str) -> None:
    headers = {"retry-after": wait, "x-business-use-case-usage": wait}
    for body in (value, {"error": value}, {"ok": False, "error_code": value, "parameters": value, "result": value}):
        try:
            accepted = await send(adapter, HttpAnswer(status, headers, dumped(body)))
        except SendError as error:
            check_error(error)
        else:
            assert status == 200
            assert all(isinstance(one, str) and one for one in accepted.external_ids)


@every_adapter
async def test_transport_errors_of_a_send_pass_through(adapter: Adapter) -> None:
    with pytest.raises(TimeoutError):
        await send(adapter, TimeoutError())


@every_adapter
@pytest.mark.parametrize("status", [200, *STATUSES])
async def test_the_other_calls_raise_nothing_but_channel_errors(adapter: Adapter, status: int) -> None:
    channel = CHANNELS[adapter.kind]
    for body in (b"", b"{}", b"[1]", orjson.dumps(channel.error)):
        http, peer = client(HttpAnswer(status, {}, body)), (channel.peer,)
        for call in (
            lambda http=http, peer=peer: adapter.check(http, channel.account),
            lambda http=http, peer=peer: adapter.profile(http, channel.account, peer),
            lambda http=http, peer=peer: adapter.mark_read(http, channel.account, peer, "444:1"),
            lambda http=http, peer=peer: adapter.typing(http, channel.account, peer, "444:1"),
            lambda http=http, peer=peer: adapter.acknowledge(http, channel.account, "tap"),
        ):
            try:
                await call()
            except ChannelError as error:
                check_error(error)


HERE = Endpoint("https://inbox.test/webhooks/x/y", verify_token="verify", secret="secret_of_the_endpoint")


Call = Awaitable[object]


def ability_calls(adapter: Adapter, account: Account, peer: tuple[Address, ...]) -> Iterator[Callable[[Http], Call]]:
    """Every call that only some channels can make."""
    if isinstance(adapter, EditsMessages):
        edits, words = adapter, [OutboundText("new")]
        yield lambda http: edits.edit(http, account, peer, "444:1", words)
        yield lambda http: edits.delete(http, account, peer, "444:1")
    if isinstance(adapter, Moderates):
        moderates = adapter
        yield lambda http: moderates.block(http, account, peer)
        yield lambda http: moderates.unblock(http, account, peer)
    if isinstance(adapter, HasTemplates):
        templates = adapter
        yield lambda http: templates.templates(http, account)
    if isinstance(adapter, Connects):
        connects = adapter
        yield lambda http: connects.subscribe(http, account, HERE)
        yield lambda http: connects.inspect(http, account, HERE)
        yield lambda http: connects.inspect(http, account, None)
    if isinstance(adapter, RenewsToken):
        renews = adapter
        yield lambda http: renews.renew(http, account)


@every_adapter
@pytest.mark.parametrize("status", [200, *STATUSES])
async def test_abilities_raise_nothing_but_channel_errors_and_show_no_secret(adapter: Adapter, status: int) -> None:
    channel = CHANNELS[adapter.kind]
    result: JsonValue = {"ok": True, "result": {"url": f"https://else.test/{TOKEN}"}, "data": [{"id": "5"}]}
    for body in (b"", b"{}", b"[1]", b"<html>", orjson.dumps(channel.error), orjson.dumps(result)):
        for call in ability_calls(adapter, channel.account, (channel.peer,)):
            try:
                told = await call(client(HttpAnswer(status, {}, body)))
            except ChannelError as error:
                check_error(error)
            else:
                findings = [one for one in told if isinstance(one, Finding)] if isinstance(told, list) else []
                assert all(one.reason.strip() for one in findings)
                # The address may be shown: it is what a person enters at the provider.
                assert all(secret not in repr(findings) for secret in (TOKEN, HERE.secret or "-"))
                assert all(one.remedy for one in findings if one.state == "broken"), "what is broken can be mended"
