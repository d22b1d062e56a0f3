"""Registering bots and changing them: an agent, a subscription and a token in one transaction.

A bot that is disabled or deleted holds nothing: that much is committed first, and from then on nothing new is given to
it; what it still holds goes to people by a durable job (``firing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from inbox.agents import credentials
from inbox.agents import events as agent_events
from inbox.agents import repository as agent_rows
from inbox.agents.principal import Principal
from inbox.agents.sessions import HINT_LENGTH
from inbox.agents.tokens import API_PREFIX
from inbox.audit import service as audit
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Invalid
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import new_token
from inbox.subscriptions.registry import Registry
from inbox.subscriptions.schemas import RotateIn, SecretRotated, SubscriptionIn, SubscriptionPatch
from scheduler.workflows import bot_rows as rows
from scheduler.workflows import events
from scheduler.workflows.bot_rows import Bot, view
from scheduler.workflows.handing import BotUnknown
from scheduler.workflows.schemas import BotCreated, BotIn, BotPatch, BotView


class Bots:
    """``changed`` is called after every commit that changes what an agent may do, with the workspace."""

    def __init__(self, database: Database, registry: Registry, changed: Callable[[UUID], None]) -> None:
        self._database = database
        self._registry = registry
        self._changed = changed

    # --- reading ------------------------------------------------------------------------------------------------------

    async def list(self, caller: Principal, *, after: UUID | None, limit: int) -> list[BotView]:
        """Oldest first."""
        caller.require("bots.read")
        async with self._database.session() as connection:
            found = await rows.page(connection, caller.workspace_id, after=after, limit=limit)
        return [self._view(caller, bot) for bot in found]

    async def get(self, caller: Principal, bot_id: UUID) -> BotView:
        """Raises ``BotUnknown``."""
        caller.require("bots.read")
        async with self._database.session() as connection:
            bot = await rows.find(connection, caller.workspace_id, bot_id)
        return self._view(caller, _known(bot))

    # --- changing -----------------------------------------------------------------------------------------------------

    async def create(self, caller: Principal, fields: BotIn) -> BotCreated:
        """Raises ``Invalid``, ``TooManySubscriptions``."""
        caller.require("bots.write")
        token, digest = new_token(API_PREFIX)
        async with self._database.transaction() as unit:
            await self._check_channels(unit, caller, fields.channels)
            agent = await agent_rows.insert(unit, caller.workspace_id, new_id(), name=fields.name, role="bot")
            assert agent is not None, "without an e-mail nothing can be taken"
            unit.record(agent_events.created(caller.workspace_id, agent))
            await credentials.insert_token(
                unit,
                caller.workspace_id,
                new_id(),
                agent.id,
                name=fields.name,
                hint=token[-HINT_LENGTH:],
                digest=digest,
                scopes=(),
                expires_at=None,
            )
            made = await self._registry.create(
                unit, caller, SubscriptionIn(name=fields.name, url=fields.url, kinds=fields.kinds, agent_id=agent.id)
            )
            await rows.insert(
                unit,
                caller.workspace_id,
                agent.id,
                subscription_id=made.subscription.id,
                mode=fields.mode,
                channels=fields.channels,
                answer_within=fields.answer_within,
            )
            bot = _known(await rows.find(unit.connection, caller.workspace_id, agent.id))
            unit.record(events.bot_created(caller.workspace_id, view(bot)))
            await audit.record(unit, caller.workspace_id, caller, "bot.created", "bot", bot.id, {"mode": bot.mode})
        return BotCreated(view(bot, fields.url), made.secret, token)

    async def change(self, caller: Principal, bot_id: UUID, patch: BotPatch) -> BotView:
        """Raises ``BotUnknown``, ``Invalid``."""
        caller.require("bots.write")

        async def work(unit: UnitOfWork) -> Bot:
            bot = _known(await rows.lock(unit, caller.workspace_id, bot_id))
            await self._check_channels(unit, caller, patch.channels)
            own = patch.model_dump(include={"mode", "channels", "answer_within"}, exclude_none=True)
            if patch.all_channels:
                own["channels"] = None
            if own:
                await rows.update(unit, caller.workspace_id, bot.id, own)
            await self._change_agent(unit, caller, bot, patch)
            if patch.name is not None or patch.url is not None or patch.kinds is not None:
                where = SubscriptionPatch(name=patch.name, url=patch.url, kinds=patch.kinds)
                await self._registry.change(unit, caller, bot.subscription_id, where)
            if patch.enabled and not (bot.enabled and bot.delivery == "enabled"):
                # What happened meanwhile is other people's: it begins with what happens next.
                await self._registry.enable(unit, caller, bot.subscription_id, skip=True)
            after = _known(await rows.find(unit.connection, caller.workspace_id, bot.id))
            if after != bot:
                if own:
                    unit.record(events.bot_updated(caller.workspace_id, view(after)))
                detail = {"fields": sorted(patch.model_fields_set)}
                await audit.record(unit, caller.workspace_id, caller, "bot.changed", "bot", bot.id, detail)
            return after

        return self._view(caller, await self._database.retrying(work))

    async def rotate(self, caller: Principal, bot_id: UUID, fields: RotateIn) -> SecretRotated:
        """A new secret for what is sent to it; the one before goes on signing for a while. Raises ``BotUnknown``."""
        caller.require("bots.write")
        async with self._database.transaction() as unit:
            bot = _known(await rows.lock(unit, caller.workspace_id, bot_id))
            rotated = await self._registry.rotate(unit, caller, bot.subscription_id, fields)
            await audit.record(unit, caller.workspace_id, caller, "bot.secret_rotated", "bot", bot.id)
        return rotated

    async def delete(self, caller: Principal, bot_id: UUID) -> None:
        """What it wrote stays, under its name. Raises ``BotUnknown``."""
        caller.require("bots.write")

        async def work(unit: UnitOfWork) -> None:
            bot = _known(await rows.lock(unit, caller.workspace_id, bot_id))
            await self._change_agent(unit, caller, bot, BotPatch(enabled=False))
            await rows.delete(unit, caller.workspace_id, bot.id)
            await self._registry.delete(unit, caller, bot.subscription_id)
            unit.record(events.bot_deleted(caller.workspace_id, bot.id))
            await audit.record(unit, caller.workspace_id, caller, "bot.deleted", "bot", bot.id, {"name": bot.name})

        await self._database.retrying(work)

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _change_agent(self, unit: UnitOfWork, caller: Principal, bot: Bot, patch: BotPatch) -> None:
        fields: dict[str, object] = {}
        if patch.name is not None and patch.name != bot.name:
            fields["name"] = patch.name
        if patch.enabled is not None and patch.enabled != bot.enabled:
            fields["disabled"] = not patch.enabled
        if fields:
            agent = await agent_rows.update(unit, caller.workspace_id, bot.id, fields)
            unit.record(agent_events.updated(caller.workspace_id, agent))
            unit.after_commit(lambda: self._changed(caller.workspace_id))

    async def _check_channels(self, unit: UnitOfWork, caller: Principal, channels: Sequence[UUID] | None) -> None:
        unknown = await rows.unknown_channels(unit, caller.workspace_id, channels) if channels else set()
        for number, channel_id in enumerate(channels or ()):
            if channel_id in unknown:
                raise Invalid.at(f"/body/channels/{number}", "there is no such channel", "unknown_channel")

    def _view(self, caller: Principal, bot: Bot) -> BotView:
        return view(bot, self._registry.url_of(bot.subscription_id, bot.url) if caller.may("bots.write") else None)


def _known(bot: Bot | None) -> Bot:
    if bot is None:
        raise BotUnknown("there is no such bot")
    return bot
