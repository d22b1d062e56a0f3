"""Fills a board: the snapshot to begin with, and what an event takes for granted."""

from __future__ import annotations

from uuid import UUID

from inbox.conversations.schemas import ConversationPage
from inbox.demo.api import Api
from inbox.demo.board import CONTACT, PAGE, Board
from inbox.demo.errors import Refused
from inbox.realtime.client import ClientEvent

SHOWN = 50


async def load_board(api: Api, board: Board) -> ConversationPage:
    """Channels, agents and conversations. Events after the page's position go on from here."""
    page = PAGE.validate_python(await api.get("/v1/conversations", {"limit": str(SHOWN)}))
    for channel in await api.all("/v1/channels"):
        board.channels[UUID(channel["id"])] = (channel["kind"], channel["name"])
    for agent in await api.all("/v1/agents"):
        board.agents[UUID(agent["id"])] = agent["name"]
    board.load(page)
    return page


async def complete(api: Api, board: Board, event: ClientEvent) -> None:
    """Fetch the contact of a conversation that is older than the snapshot."""
    contact_id = board.unknown_contact(event)
    if contact_id is None:
        return
    try:
        detail = await api.get(f"/v1/contacts/{contact_id}")
    except Refused:
        return  # gone meanwhile: shown without a name
    contact = CONTACT.validate_python(detail["contact"])
    board.contacts[contact_id] = contact
