"""Definitions of templates on a real PostgreSQL: synced, told of by webhooks, looked up, filled and sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest
from delivery_world import ScriptedAdapter, World, make_world
from test_sending import sending

from channels.adapter import Http
from channels.errors import ContentRefused, FetchError
from channels.inbound import TemplateChanged
from channels.outbound import OutboundPart, OutboundTemplate, Piece, TemplateValues
from channels.templates import Template, TemplateButton, TemplateHeader, preview
from channels.types import Account, Fault
from inbox.agents.principal import Principal
from inbox.connections.asking import ProviderRefused
from inbox.conversations.repository import Thread
from inbox.kernel.errors import Forbidden
from inbox.messages.composing import ContentTooLarge
from inbox.messages.schemas import SendIn
from inbox.messages.sending import ComposerRefused
from inbox.templates.schemas import TemplateQuery, TemplateValuesIn
from inbox.templates.service import TemplateUnknown, ValuesRefused, WithoutTemplates

ORDER = Template(
    external_id="1",
    name="order_update",
    language="en_US",
    status="approved",
    category="utility",
    parameter_format="positional",
    body="Hello {{1}}, order {{2}} is on its way.",
    header=TemplateHeader("text", "Order {{1}}"),
    footer="Reply STOP to stop",
    buttons=(TemplateButton("url", "Track", "https://example.org/{{1}}"),),
)
PENDING = replace(ORDER, external_id="2", name="sale", status="pending", category="marketing", header=None, buttons=())


class Templated(ScriptedAdapter):
    """Has a list of templates at its provider, and says so as the contract has it."""

    listed: list[Template]
    fault: Fault | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.listed = [ORDER, PENDING]
        self.asked: list[str] = []
        self.planned: list[OutboundPart] = []

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        self.planned = list(parts)
        return super().plan(parts)

    async def templates(self, http: Http, account: Account) -> list[Template]:
        self.asked.append(account.account_id)
        if self.fault is not None:
            raise FetchError(self.fault)
        return list(self.listed)

    def fill(self, template: Template, values: TemplateValues) -> OutboundTemplate:
        shown = preview(template, values)
        if len(shown.body) > 200:
            raise ContentRefused("too_long", "The body is too long.", limit="template.body.maximum", allowed=200)
        return OutboundTemplate(template.name, template.language, ({"filled": shown.body},), text=shown.body)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url, plays=Templated, templates="synced") as world:
        yield world


def adapter(world: World) -> Templated:
    return cast(Templated, world.adapter)


async def sync(world: World) -> Any:
    return await world.node.syncing.sync(world.channel)


async def statuses(world: World) -> dict[str, str]:
    rows = await world.node.fetch("SELECT name, status, removed_at IS NOT NULL FROM templates ORDER BY name")
    return {row[0]: "removed" if row[2] else row[1] for row in rows}


async def told(world: World) -> list[tuple[str, str, str]]:
    rows = await world.node.fetch("SELECT kind, payload FROM events WHERE kind LIKE 'template.%' ORDER BY position")
    found = [(row[0], orjson.loads(row[1])["template"]) for row in rows]
    return [(kind, template["name"], template["status"]) for kind, template in found]


def admin(world: World) -> Principal:
    return Principal(world.workspace_id, uuid4(), "Admin", "admin", uuid4())


async def template_id(world: World, name: str = "order_update") -> UUID:
    return cast(UUID, await world.node.fetchval("SELECT id FROM templates WHERE name = $1", name))


# --- syncing ----------------------------------------------------------------------------------------------------------


async def test_a_sync_stores_what_is_new_changed_and_gone_and_says_so_once(world: World) -> None:
    first = await sync(world)
    assert (first.created, first.updated, first.removed) == (2, 0, 0)
    again = await sync(world)
    assert (again.created, again.updated, again.removed) == (0, 0, 0)

    adapter(world).listed = [replace(ORDER, body="Hi {{1}} and {{2}}", status="paused", reason="Low quality.")]
    third = await sync(world)
    assert (third.created, third.updated, third.removed) == (0, 1, 1)
    assert await statuses(world) == {"order_update": "paused", "sale": "removed"}
    adapter(world).listed = [ORDER, PENDING]
    await sync(world)
    assert await told(world) == [
        ("template.created", "order_update", "approved"),
        ("template.created", "sale", "pending"),
        ("template.updated", "order_update", "paused"),
        ("template.removed", "sale", "pending"),
        ("template.updated", "order_update", "approved"),
        ("template.created", "sale", "pending"),
    ]


async def test_a_stored_definition_is_the_one_that_was_listed(world: World) -> None:
    carousel = replace(ORDER, external_id="3", name="carousel", unfillable="a carousel", quality="GREEN")
    adapter(world).listed = [ORDER, carousel]
    await sync(world)
    async with world.node.database.transaction(readonly=True) as unit:
        row = await world.node.templates.approved(unit, world.channel, "carousel", "en_US", 0)
    assert row.template == carousel


async def test_a_list_does_not_undo_what_a_webhook_said_after_it_was_asked_for(world: World) -> None:
    await sync(world)
    slow = adapter(world)
    listed = slow.templates

    async def overtaken(http: Http, account: Account) -> list[Template]:
        found = await listed(http, account)
        await world.receive(changed("order_update", status="paused", reason="Paused by the provider."))
        return [replace(one, body="Another {{1}} body {{2}}") for one in found]

    slow.templates = overtaken  # type: ignore[method-assign]
    await sync(world)
    row = (await world.node.fetch("SELECT status, reason, definition FROM templates WHERE name = 'order_update'"))[0]
    assert (row[0], row[1], row[2]["body"]) == ("paused", "Paused by the provider.", "Another {{1}} body {{2}}")


async def test_channels_of_one_owner_share_its_templates_and_other_accounts_do_not(world: World) -> None:
    here = await world.add_channel("whatsapp", "501", options={"waba_id": "WABA"})
    there = await world.add_channel("whatsapp", "502", options={"waba_id": "WABA"})
    await world.node.syncing.sync(here)
    listed = await world.node.templates.page(world.caller, there.id, TemplateQuery())
    assert {one.owner for one in listed.items} == {"WABA"}
    assert len(listed.items) == 2
    assert (await world.node.templates.page(world.caller, world.channel.id, TemplateQuery())).items == []


async def test_the_list_is_filtered_and_continued(world: World) -> None:
    adapter(world).listed = [replace(ORDER, external_id=str(n), name=f"order_{n}") for n in range(5)] + [PENDING]
    await sync(world)
    pages, after = [], None
    while True:
        page = await world.node.templates.page(
            world.caller, world.channel.id, TemplateQuery(status=["approved"], name="order", limit=2, after=after)
        )
        pages.append([one.name for one in page.items])
        if (after := page.next) is None:
            break
    assert pages == [["order_0", "order_1"], ["order_2", "order_3"], ["order_4"]]
    found = await world.node.templates.page(world.caller, world.channel.id, TemplateQuery(category="marketing"))
    assert [one.name for one in found.items] == ["sale"]


async def test_a_provider_that_refuses_says_why_and_a_dead_token_marks_the_channel(world: World) -> None:
    adapter(world).fault = Fault("token_invalid", "The token has expired.", "190", reauthorise=True)
    with pytest.raises(ProviderRefused, match="expired") as refused:
        await world.node.templates.sync(admin(world), world.channel.id)
    assert refused.value.facts["provider_code"] == "190"
    assert await world.node.fetchval("SELECT health FROM channels") == "reauthorise"
    assert await world.node.fetchval("SELECT fault FROM template_syncs") == "The token has expired."
    with pytest.raises(Forbidden):
        await world.node.templates.sync(world.caller, world.channel.id)


async def test_only_lists_that_grew_old_are_asked_for_by_upkeep_one_for_each_owner(world: World) -> None:
    for account_id in ("501", "502"):
        await world.add_channel("whatsapp", account_id, options={"waba_id": "WABA"})
    await sync(world)
    kinds: Any = {"whatsapp": world.adapter}
    for _ in range(2):
        await world.node.syncing.ask_for_old(kinds, datetime.now(UTC))
    rows = await world.node.fetch("SELECT key FROM jobs WHERE queue = 'templates.sync'")
    assert [row[0] for row in rows] == ["whatsapp:WABA"]


# --- webhooks ---------------------------------------------------------------------------------------------------------


def changed(name: str, *, language: str = "en_US", minutes: int = 0, **more: Any) -> TemplateChanged:
    return TemplateChanged("WABA", name, language, datetime.now(UTC) + timedelta(minutes=minutes), **more)


async def test_webhooks_judge_templates_and_the_later_one_counts(world: World) -> None:
    await sync(world)
    await world.receive(changed("order_update", language="en-US", status="paused", reason="Quality.", minutes=2))
    await world.receive(changed("order_update", status="approved", minutes=1))
    await world.receive(changed("order_update", quality="RED", minutes=3))
    row = (await world.node.fetch("SELECT status, reason, quality FROM templates WHERE name = 'order_update'"))[0]
    assert tuple(row) == ("paused", "Quality.", "RED")
    assert [one for one in await told(world) if one[0] == "template.updated"] == [
        ("template.updated", "order_update", "paused")
    ] * 2
    assert await world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = 'templates.sync'") == 0


@pytest.mark.parametrize("change", [{"name": "order_update", "changed": True}, {"name": "brand_new"}])
async def test_another_definition_is_fetched(world: World, change: dict[str, Any]) -> None:
    await sync(world)
    await world.receive(changed(**change, status="approved"))
    assert await world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = 'templates.sync'") == 1


# --- previews ---------------------------------------------------------------------------------------------------------

VALUES = {"header": {"values": {"1": "77"}}, "body": {"1": "Ada", "2": "77"}, "buttons": {"0": "77"}}


async def test_a_preview_reads_as_the_customer_will_see_it(world: World) -> None:
    await sync(world)
    given = TemplateValuesIn.model_validate(VALUES)
    shown = await world.node.templates.preview(world.caller, await template_id(world), given)
    assert shown.body == "Hello Ada, order 77 is on its way."
    assert (shown.header, shown.footer, shown.buttons) == ("Order 77", "Reply STOP to stop", ["Track"])


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ({**VALUES, "body": {"1": "Ada"}}, "template.body"),
        ({**VALUES, "body": {"1": "Ada", "2": "77", "3": "more"}}, "template.body"),
        ({**VALUES, "header": None}, "template.header"),
        ({**VALUES, "buttons": None}, "template.buttons"),
        ({**VALUES, "body": {"1": "A" * 300, "2": "77"}}, "template.body.maximum"),
    ],
)
async def test_a_preview_is_refused_where_a_send_would_be(world: World, values: dict[str, Any], limit: str) -> None:
    await sync(world)
    given = TemplateValuesIn.model_validate(values)
    with pytest.raises(ValuesRefused) as refused:
        await world.node.templates.preview(world.caller, await template_id(world), given)
    assert refused.value.facts["limit"] == limit
    with pytest.raises(ContentTooLarge) as not_sent:
        await send(world, await world.conversation(), {"type": "template", **NAMED, **values})
    assert not_sent.value.facts["limit"] == limit


async def test_templates_of_other_workspaces_are_unknown(world: World) -> None:
    await sync(world)
    stranger = Principal(uuid4(), uuid4(), "Eve", "admin", uuid4())
    with pytest.raises(TemplateUnknown):
        await world.node.templates.get(stranger, await template_id(world))


# --- sending ----------------------------------------------------------------------------------------------------------

NAMED = {"name": "order_update", "language": "en_US"}


async def send(world: World, thread: Thread, *parts: dict[str, Any]) -> Any:
    order = SendIn.model_validate({"parts": list(parts)})
    return (await sending(world).send(world.caller, thread.id, order)).message


async def test_a_template_is_filled_sent_outside_the_window_and_shown_as_the_customer_sees_it(world: World) -> None:
    await sync(world)
    thread = await world.conversation(window_opened=timedelta(days=3))
    message = await send(world, thread, {"type": "template", **NAMED, **VALUES})
    (part,) = message.parts
    assert (part["text"], part["header"], part["buttons"]) == (
        "Hello Ada, order 77 is on its way.",
        "Order 77",
        ["Track"],
    )
    assert part["template_id"] == str(await template_id(world))
    (planned,) = adapter(world).planned
    assert isinstance(planned, OutboundTemplate)
    assert planned.components == ({"filled": "Hello Ada, order 77 is on its way."},)
    preview = await world.node.fetchval("SELECT last_message_preview FROM conversations WHERE id = $1", thread.id)
    assert preview == "Hello Ada, order 77 is on its way."
    await world.run_until_idle()
    assert await world.status(message.id) == "sent"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"name": "sale", "language": "en_US", "body": {}}, "template_not_approved"),
        ({"name": "order_update", "language": "de"}, "template_unknown"),
        ({"name": "sale", "language": "en_US", "components": [{"type": "body"}]}, "template_not_approved"),
        ({"name": "nothing", "language": "en_US", "components": [{"type": "body"}]}, "template_unknown"),
        (
            {**NAMED, "components": [{"type": "body", "parameters": [{"type": "text", "text": "x"}]}]},
            "template_variables",
        ),
    ],
)
async def test_a_template_that_cannot_be_sent_is_refused(world: World, part: dict[str, Any], code: str) -> None:
    await sync(world)
    with pytest.raises(ContentTooLarge) as refused:
        await send(world, await world.conversation(), {"type": "template", **part})
    assert refused.value.facts["reason"] == code
    assert await world.node.fetchval("SELECT count(*) FROM messages") == 0


async def test_raw_components_show_their_words_and_pass_where_nothing_was_synced(world: World) -> None:
    parameters = [{"type": "text", "text": "Ada"}, {"type": "text", "text": "77"}]
    part = {"type": "template", **NAMED, "components": [{"type": "BODY", "parameters": parameters}]}
    unknown = await send(world, await world.conversation(), part)
    assert unknown.parts[0]["text"] == "order_update: Ada, 77"
    await sync(world)
    known = await send(world, await world.conversation(), part)
    assert known.parts[0]["text"] == "Hello Ada, order 77 is on its way."


async def test_outside_the_window_the_refusal_lists_what_may_be_sent(world: World) -> None:
    await sync(world)
    thread = await world.conversation(window_opened=timedelta(days=3))
    with pytest.raises(ComposerRefused) as refused:
        await send(world, thread, {"type": "text", "text": "Hello"})
    assert refused.value.facts["reason"] == "window_closed"
    assert refused.value.facts["templates"] == [
        {"id": await template_id(world), "name": "order_update", "language": "en_US", "category": "utility"}
    ]
    detail = await world.node.conversations.read(world.caller, thread.id)
    assert (detail.composer.allowed, detail.composer.reason, detail.composer.templates) == (
        False,
        "window_closed",
        True,
    )


SALE = replace(PENDING, status="approved", body="Everything must go.", footer=None)
CODE = replace(SALE, external_id="3", name="one_tap", category="authentication", body="Your code.")


async def stop_marketing(world: World) -> None:
    await world.node.fetch("UPDATE identities SET marketing_stopped_at = now(), marketing_stopped_reason = 'asked'")


async def leave_only_the_username(world: World) -> None:
    await world.node.fetch("UPDATE addresses SET kind = 'whatsapp_user'")


async def test_the_refusal_lists_only_what_this_person_may_get(world: World) -> None:
    adapter(world).listed = [ORDER, SALE, CODE]
    await sync(world)
    thread = await world.conversation(window_opened=timedelta(days=3))

    async def listed() -> list[str]:
        with pytest.raises(ComposerRefused) as refused:
            await send(world, thread, {"type": "text", "text": "Hello"})
        return [template["name"] for template in cast(list[dict[str, str]], refused.value.facts["templates"])]

    assert await listed() == ["one_tap", "order_update", "sale"]
    await stop_marketing(world)
    assert await listed() == ["one_tap", "order_update"]
    await leave_only_the_username(world)
    assert await listed() == ["order_update"]


@pytest.mark.parametrize("purpose", ["reply", "human_agent", "marketing"])
async def test_a_marketing_template_is_marketing_whatever_it_is_called(world: World, purpose: str) -> None:
    adapter(world).listed = [SALE]
    await sync(world)
    thread = await world.conversation()
    part = {"type": "template", "name": "sale", "language": "en_US"}
    order = SendIn.model_validate({"parts": [part], "purpose": purpose})
    queued = (await sending(world).send(world.caller, thread.id, order)).message
    await stop_marketing(world)
    await world.run_until_idle()
    assert await world.status(queued.id) == "failed"
    fault = await world.node.fetchval("SELECT fault->>'code' FROM messages WHERE id = $1", queued.id)
    assert (fault, adapter(world).sent) == ("opted_out", [])
    with pytest.raises(ComposerRefused) as refused:
        await sending(world).send(world.caller, thread.id, order)
    assert refused.value.facts["reason"] == "opted_out"


async def test_a_code_needs_a_telephone_number(world: World) -> None:
    adapter(world).listed = [CODE]
    await sync(world)
    thread = await world.conversation()
    part = {"type": "template", "name": "one_tap", "language": "en_US"}
    await send(world, thread, part)
    await leave_only_the_username(world)
    with pytest.raises(ContentTooLarge) as refused:
        await send(world, thread, part)
    assert refused.value.facts["reason"] == "template_needs_phone"


async def test_the_composer_says_what_a_send_would_be_told(world: World) -> None:
    open_thread, blocked = await world.conversation(), await world.conversation()
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE contacts SET blocked_at = now() WHERE id = $1", blocked.contact_id)
    assert (await world.node.conversations.read(world.caller, open_thread.id)).composer.allowed
    composer = (await world.node.conversations.read(world.caller, blocked.id)).composer
    assert (composer.allowed, composer.reason, composer.templates) == (False, "contact_blocked", False)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE channels SET health = 'reauthorise'")
    composer = (await world.node.conversations.read(world.caller, open_thread.id)).composer
    assert (composer.allowed, composer.reason) == (False, "channel_unauthorised")
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE channels SET state = 'disabled'")
    composer = (await world.node.conversations.read(world.caller, open_thread.id)).composer
    assert composer.reason == "channel_disabled"
    with pytest.raises(ComposerRefused) as refused:
        await send(world, open_thread, {"type": "text", "text": "Hello"})
    assert refused.value.facts["reason"] == composer.reason


@pytest.fixture
async def listless(database_url: str) -> AsyncIterator[World]:
    """A channel whose templates are sent with their components, for nobody can ask for a list."""
    async with make_world(database_url, templates="given") as world:
        yield world


async def test_a_channel_that_lists_no_templates_says_how_to_send_one(listless: World) -> None:
    thread = await listless.conversation(window_opened=timedelta(days=3))
    with pytest.raises(ComposerRefused, match="a utility template with its components") as refused:
        await send(listless, thread, {"type": "text", "text": "Hello"})
    assert refused.value.facts["templates"] == []
    with pytest.raises(WithoutTemplates, match="sent with their components"):
        await listless.node.templates.sync(admin(listless), listless.channel.id)
    with pytest.raises(ContentTooLarge) as valued:
        await send(listless, thread, {"type": "template", **NAMED, **VALUES})
    assert valued.value.facts["reason"] == "template_components"

    header = {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://a.test/b.png"}}]}
    body = {"type": "body", "parameters": [{"type": "text", "text": "Ada"}]}
    filled = await send(listless, thread, {"type": "template", **NAMED, "components": [header, body]})
    plain = await send(listless, thread, {"type": "template", **NAMED})
    assert [one.parts[0]["text"] for one in (filled, plain)] == ["order_update: Ada", "order_update"]
    await listless.run_until_idle()
    assert {await listless.status(one.id) for one in (filled, plain)} == {"sent"}


async def test_an_album_is_planned_as_one_and_shown_as_its_files(world: World) -> None:
    items = [{"type": "media", "kind": "image", "url": f"https://example.org/{n}.png"} for n in range(2)]
    message = await send(world, await world.conversation(), {"type": "album", "items": items, "caption": "Two"})
    assert [part["url"] for part in message.parts] == ["https://example.org/0.png", "https://example.org/1.png"]
    assert [part["caption"] for part in message.parts] == ["Two", None]
    assert [part.type for part in adapter(world).planned] == ["album"]
