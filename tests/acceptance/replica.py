"""A small client's memory: a snapshot of everything it may see, kept up to date by events alone. Helpers, no tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processes import Api, Json


@dataclass
class Replica:
    """By id; ``messages`` by conversation, then by id. ``unread`` counts for the agent ``me``."""

    me: str
    epoch: str
    position: int
    conversations: dict[str, Json] = field(default_factory=dict)
    contacts: dict[str, Json] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    messages: dict[str, dict[str, Json]] = field(default_factory=dict)
    channels: dict[str, Json] = field(default_factory=dict)
    agents: dict[str, Json] = field(default_factory=dict)
    reach: dict[str, Json] = field(default_factory=dict)
    """By identity: whether and since when somebody cannot, or does not want to, be written to."""
    set_aside: dict[str, Json] = field(default_factory=dict)
    """What blocked contacts sent; ``me`` is somebody who may read it."""
    provider_blocks: dict[str, Json] = field(default_factory=dict)
    scheduled: dict[str, Json] = field(default_factory=dict)
    bots: dict[str, Json] = field(default_factory=dict)
    sequences: dict[str, Json] = field(default_factory=dict)
    enrollments: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    renumbered: set[str] = field(default_factory=set)
    """Conversations whose messages have to be read again, as ``conversation.merged`` says."""

    def apply(self, event: Mapping[str, Any]) -> None:
        assert event["position"] > self.position
        self.position = event["position"]
        data = event["data"]
        match event["kind"]:
            case "message.created":
                message, conversation = data["message"], data["conversation"]
                thread = message["conversation_id"]
                self.conversations[thread] = conversation
                self.messages.setdefault(thread, {})[message["id"]] = message
                if message["direction"] == "in":
                    self.unread[thread] = self.unread.get(thread, 0) + 1
            case "message.updated":
                message = data["message"]
                self.messages[message["conversation_id"]][message["id"]] = message
            case "message.status":
                message = self.messages[data["conversation_id"]][data["message_id"]]
                message |= {name: data[name] for name in ("status", "status_at", "fault")}
            case "conversation.created" | "conversation.updated":
                conversation = data["conversation"]
                self.conversations[conversation["id"]] = conversation
            case "conversation.merged":
                conversation, merged = data["conversation"], data["merged"]
                self.conversations[conversation["id"]] = conversation
                self.conversations.pop(merged, None)
                self.messages.pop(merged, None)
                self.unread.pop(merged, None)
                self.renumbered.add(conversation["id"])
            case "conversation.read":
                if data["agent_id"] == self.me:
                    thread = data["conversation_id"]
                    inbound = [one for one in self.messages.get(thread, {}).values() if one["direction"] == "in"]
                    self.unread[thread] = sum(one["number"] > data["number"] for one in inbound)
            case "contact.created" | "contact.updated" | "contact.blocked" | "contact.unblocked":
                self.contacts[data["contact"]["id"]] = data["contact"]
            case "contact.event":
                pass  # it changes nothing that is shown
            case "contact.reachability":
                self.reach[data["reach"]["identity_id"]] = _reach(data["reach"])
            case "contact.block_at_provider":
                self.provider_blocks[_place(data["block"])] = data["block"]
            case "set_aside.created" | "set_aside.updated":
                self.set_aside[data["set_aside"]["id"]] = data["set_aside"]
            case "contact.merged":
                self.contacts[data["contact"]["id"]] = data["contact"]
                self.contacts.pop(data["merged"], None)
            case "channel.created" | "channel.updated":
                self.channels[data["channel"]["id"]] = data["channel"]
            case "channel.deleted":
                self.channels.pop(data["channel_id"], None)
            case "sequence.created" | "sequence.updated":
                self.sequences[data["sequence"]["id"]] = data["sequence"]
            case "enrollment.created" | "enrollment.updated":
                self.enrollments[data["enrollment"]["id"]] = data["enrollment"]
            case "scheduled_message.created" | "scheduled_message.updated":
                self.scheduled[data["scheduled_message"]["id"]] = data["scheduled_message"]
            case "bot.created" | "bot.updated":
                self.bots[data["bot"]["id"]] = data["bot"]
            case "bot.deleted":
                self.bots.pop(data["bot_id"], None)
            case "workflow.created" | "workflow.updated":
                self.runs[data["run"]["id"]] = data["run"]
                self.conversations[data["conversation"]["id"]] = data["conversation"]
            case "subscription.created" | "subscription.updated" | "subscription.disabled" | "subscription.deleted":
                pass
            case "agent.created" | "agent.updated":
                self.agents[data["agent"]["id"]] = data["agent"]
            case unknown:
                raise AssertionError(f"the client does not know {unknown}")

    async def catch_up(self, api: Api, position: int) -> list[str]:
        """Apply all events up to ``position``. Their kinds."""
        kinds = []
        while self.position < position:
            page = await api.get(f"/v1/events?epoch={self.epoch}&after={self.position}&wait=5&limit=500")
            for event in page["events"]:
                self.apply(event)
                kinds.append(event["kind"])
            self.position = page["position"]
        for thread in self.renumbered & self.conversations.keys():
            _, self.messages[thread] = await _messages(api, thread)
            detail = await api.get(f"/v1/conversations/{thread}")
            self.unread[thread] = detail["unread"]
            self.runs |= {one["id"]: one for one in await _runs(api, thread)}
        self.renumbered.clear()
        return kinds

    def differences(self, fresh: Replica) -> dict[str, tuple[object, object]]:
        """Where this one and a fresh snapshot disagree: path → (this, fresh)."""
        found: dict[str, tuple[object, object]] = {}
        for name in COMPARED:
            _compare(name, getattr(self, name), getattr(fresh, name), found)
        shown = {contact_id: self.contacts.get(contact_id) for contact_id in fresh.contacts}
        _compare("contacts", shown, fresh.contacts, found)
        known = {identity_id: self.reach.get(identity_id, NOTHING_SAID) for identity_id in fresh.reach}
        _compare("reach", known, fresh.reach, found)
        counts = {thread: self.unread.get(thread, 0) for thread in fresh.conversations}
        _compare("unread", counts, {thread: fresh.unread.get(thread, 0) for thread in counts}, found)
        return found


COMPARED = (
    "conversations",
    "messages",
    "channels",
    "agents",
    "scheduled",
    "sequences",
    "enrollments",
    "set_aside",
    "provider_blocks",
    "bots",
    "runs",
)
REACH = ("unreachable", "unreachable_at", "marketing_stopped_at", "marketing_stopped_reason")
NOTHING_SAID: Json = dict.fromkeys(REACH)


def _place(block: Mapping[str, Any]) -> str:
    return f"{block['channel_id']} {block['identity_id']}"


def _reach(data: Mapping[str, Any]) -> Json:
    return {name: data[name] for name in REACH}


async def snapshot(api: Api, me: str) -> Replica:
    """Several answers make one snapshot when they have the same position: asked again until they have."""
    for _ in range(50):
        page = await api.get("/v1/conversations?limit=200")
        assert page["next"] is None
        taken = Replica(me, page["epoch"], page["position"])
        taken.conversations = {one["id"]: one for one in page["items"]}
        taken.contacts = {one["id"]: one for one in page["contacts"]}
        taken.unread = page["unread"]
        positions = {page["position"]}
        for thread in taken.conversations:
            position, taken.messages[thread] = await _messages(api, thread)
            detail = await api.get(f"/v1/conversations/{thread}")
            assert detail["conversation"] == taken.conversations[thread] or detail["position"] != page["position"]
            positions |= {position, detail["position"]}
        for contact_id in taken.contacts:
            aside = await api.get(f"/v1/contacts/{contact_id}/set-aside?limit=200")
            taken.set_aside |= {one["id"]: one for one in aside["items"]}
            asked = (await api.get(f"/v1/contacts/{contact_id}/paused"))["at_provider"]
            taken.provider_blocks |= {_place(one): one for one in asked}
            for identity in (await api.get(f"/v1/contacts/{contact_id}"))["identities"]:
                taken.reach[identity["id"]] = _reach(identity)
        taken.channels = {one["id"]: one for one in (await api.get("/v1/channels?limit=200"))["items"]}
        taken.agents = {one["id"]: one for one in (await api.get("/v1/agents?limit=200"))["items"]}
        # The address of a webhook is shown to those who may change it, and told to nobody.
        taken.bots = {one["id"]: {**one, "url": None} for one in (await api.get("/v1/bots?limit=200"))["items"]}
        for thread in taken.conversations:
            taken.runs |= {one["id"]: one for one in await _runs(api, thread)}
        taken.sequences = {one["id"]: one for one in (await api.get("/v1/sequences?limit=200"))["items"]}
        for sequence in taken.sequences:
            enrolled = await api.get(f"/v1/sequences/{sequence}/enrollments?limit=200")
            taken.enrollments |= {one["id"]: one for one in enrolled["items"]}
        scheduled = await api.get("/v1/scheduled-messages?limit=200")
        taken.scheduled = {one["id"]: one for one in scheduled["items"]}
        positions |= {scheduled["position"], (await api.get("/v1/conversations?limit=1"))["position"]}
        if len(positions) == 1:
            return taken
        await asyncio.sleep(0.1)
    raise AssertionError("there is no rest to take a snapshot in")


async def _runs(api: Api, thread: str) -> list[Json]:
    page = await api.get(f"/v1/conversations/{thread}/workflows?limit=200")
    assert page["next"] is None
    items: list[Json] = page["items"]
    return items


async def _messages(api: Api, thread: str) -> tuple[int, dict[str, Json]]:
    page = await api.get(f"/v1/conversations/{thread}/messages?limit=200")
    assert page["earlier"] is None
    return page["position"], {one["id"]: one for one in page["items"]}


def _compare(path: str, ours: object, fresh: object, found: dict[str, tuple[object, object]]) -> None:
    if isinstance(ours, dict) and isinstance(fresh, dict):
        for key in ours.keys() | fresh.keys():
            _compare(f"{path}/{key}", ours.get(key), fresh.get(key), found)
    elif ours != fresh:
        found[path] = (ours, fresh)
