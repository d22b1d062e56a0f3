"""The ASGI application: routes, middleware, exception handlers, lifespan. Nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contacts import events as contact_events
from contacts.routes import Caller, ContactRoutes
from inbox.agents import events as agent_events
from inbox.agents.origin import BaseUrl, ClientAddress, base_url, client_address
from inbox.agents.principal import Principal
from inbox.agents.routes import AgentRoutes, SessionRoutes, TokenRoutes, WorkspaceRoutes
from inbox.audit.routes import AuditRoutes
from inbox.blocking.routes import BlockingRoutes
from inbox.connections import events as connection_events
from inbox.connections.routes import ChannelRoutes, ProviderAppRoutes
from inbox.conversations import events as conversation_events
from inbox.conversations.routes import ConversationRoutes, StartRoutes
from inbox.delivery.routes import DeliveryRoutes
from inbox.figures import Figures
from inbox.ingest.endpoint import WebhookEndpoint, WebhooksFirst
from inbox.ingest.routes import QuarantineRoutes
from inbox.kernel.openapi import BEARER, describe
from inbox.kernel.web import RequestBoundary, build_routes, exception_handlers
from inbox.media.avatars import AvatarRoutes
from inbox.media.routes import MediaRoutes
from inbox.media.serving import PATH as MEDIA_PATH
from inbox.messages import events as message_events
from inbox.messages import set_aside_schemas as set_aside_events
from inbox.messages.notices import NoticeRoutes
from inbox.messages.routes import MessageRoutes
from inbox.operations.routes import OperationsRoutes
from inbox.realtime.routes import StreamRoutes, stream_routes
from inbox.runtime import Runtime
from inbox.socket_commands import socket_commands
from inbox.subscriptions import events as subscription_events
from inbox.subscriptions.routes import SubscriptionRoutes
from inbox.templates import events as template_events
from inbox.templates.routes import TemplateRoutes
from scheduler.scheduled import events as scheduled_events
from scheduler.scheduled.routes import ScheduledRoutes
from scheduler.sequences import events as sequence_events
from scheduler.sequences.routes import EnrollmentRoutes, SequenceRoutes
from scheduler.workflows import events as workflow_events
from scheduler.workflows.routes import BotRoutes, WorkflowRoutes

DESCRIPTION = """One inbox for WhatsApp, Messenger, Instagram and Telegram.

Lists and conversations answer with `epoch` and `position`: connect to `/v1/stream` with a one-time ticket, `resume`
from there, and every later event arrives exactly once and in order, or an explicit `reset`. Refusals are
`application/problem+json` with a stable `code`.
"""

EVENTS: Final[Mapping[str, type]] = {
    **agent_events.EVENTS,
    **connection_events.EVENTS,
    **contact_events.EVENTS,
    **conversation_events.EVENTS,
    **message_events.EVENTS,
    **scheduled_events.EVENTS,
    **sequence_events.EVENTS,
    **set_aside_events.EVENTS,
    **subscription_events.EVENTS,
    **workflow_events.EVENTS,
    **template_events.EVENTS,
}
"""Everything that a log can say."""


def create_app(runtime: Runtime) -> Starlette:
    """Starting the application starts the runtime; stopping it finishes what was accepted."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await runtime.start()
        try:
            yield
        finally:
            await runtime.stop()

    groups = route_groups(runtime)
    document = orjson.dumps(api_description(groups))

    async def openapi(request: Request) -> Response:
        return Response(document, media_type="application/json")

    webhooks = WebhookEndpoint(
        runtime.directory,
        runtime.providers,
        runtime.acceptance,
        runtime.ingest_metrics,
        max_bytes=runtime.settings.webhook_max_bytes,
    )
    authentication = runtime.authentication
    settings = runtime.settings
    routes = [
        Route(MEDIA_PATH, runtime.media.endpoint),
        Route("/openapi.json", openapi, methods=["GET"]),
        *Figures(runtime).health().routes(),
        *stream_routes(
            runtime.hub,
            redeem_ticket=runtime.tickets.redeem,
            authenticate=authentication.authenticate,
            still_valid=authentication.still_valid,
            commands=socket_commands(runtime),
            heartbeat=settings.heartbeat_seconds,
        ),
        *build_routes(
            groups,
            inject={
                Principal: authentication.authenticate,
                Caller: authentication.authenticate,
                ClientAddress: client_address(trust_proxy=settings.trust_proxy),
                BaseUrl: base_url(settings.public_url),
            },
        ),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(WebhooksFirst, webhooks=webhooks), Middleware(RequestBoundary)],
        exception_handlers=exception_handlers,
        lifespan=lifespan,
    )


def route_groups(runtime: Runtime) -> list[object]:
    return [
        SessionRoutes(runtime.sessions, runtime.agents, runtime.workspaces),
        TokenRoutes(runtime.tokens, runtime.tickets),
        WorkspaceRoutes(runtime.workspaces),
        AuditRoutes(runtime.audit),
        AgentRoutes(runtime.agents),
        ProviderAppRoutes(runtime.apps),
        ChannelRoutes(runtime.channels, runtime.connecting),
        TemplateRoutes(runtime.templates.service),
        ContactRoutes(runtime.contacts),
        BlockingRoutes(runtime.blocking.service, runtime.blocking.paused),
        ConversationRoutes(runtime.conversations, runtime.signals.read),
        StartRoutes(runtime.starting),
        MessageRoutes(runtime.messages, runtime.sending),
        NoticeRoutes(runtime.database),
        MediaRoutes(runtime.media.service),
        AvatarRoutes(runtime.media.avatars),
        DeliveryRoutes(runtime.delivery.service, runtime.delivery.changes, runtime.signals),
        ScheduledRoutes(runtime.scheduled.service, runtime.scheduled.changes),
        SequenceRoutes(runtime.sequences.sequences),
        EnrollmentRoutes(runtime.sequences.enrolling, runtime.sequences.enrollments),
        QuarantineRoutes(runtime.replay),
        OperationsRoutes(runtime.operations),
        StreamRoutes(runtime.hub),
        SubscriptionRoutes(runtime.outgoing.service, EVENTS.keys()),
        BotRoutes(runtime.bots, EVENTS.keys()),
        WorkflowRoutes(runtime.workflows.service),
    ]


def api_description(groups: list[object]) -> dict[str, Any]:
    """OpenAPI 3.1, from the signatures that run; with the data of every event of the stream as schemas."""
    schemas = list(EVENTS.values())
    return describe(
        groups,
        title="Omnichannel inbox",
        version=version("omnichannel-inbox"),
        description=DESCRIPTION,
        schemas=schemas,
        security={Principal: BEARER, Caller: BEARER},
    )
