"""Instagram on its two stacks: ``login`` talks to graph.instagram.com as the account, ``page`` as the linked Page.

Nothing we send comes back in the echo, so an echo is recognised by its words and time (channel facts, section 0).
"""

from __future__ import annotations

import os.path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from channels.adapter import AccountFacts, Http
from channels.errors import FetchError, SendError
from channels.instagram.capabilities import CAPABILITIES
from channels.instagram.faults import FAULTS
from channels.meta.graph import GraphApi
from channels.meta.messaging_adapter import MessagingAdapter
from channels.types import Account, Fault
from channels.wire import SHORT, as_id, as_object, as_text

LOGIN_HOST: Final = "https://graph.instagram.com"
_HEARTS: Final = frozenset({"❤", "❤️", "♥", "♥️"})


class InstagramAdapter(MessagingAdapter):
    kind = "instagram"
    capabilities = CAPABILITIES
    graph = GraphApi(FAULTS)
    address_kind = "instagram_user"
    profile_fields = "name,username,profile_pic"
    upload_form = MappingProxyType({"platform": "instagram"})

    def node(self, account: Account) -> str:
        if _on_login_stack(account):
            return quote(account.account_id, safe="")
        page_id = account.options.get("page_id")
        if not page_id:
            raise SendError(Fault("parameter_invalid", "The channel lacks the id of its linked Page.", ours=True))
        return quote(page_id, safe="")

    def host(self, account: Account) -> str | None:
        return LOGIN_HOST if _on_login_stack(account) else None

    def filename(self, filename: str) -> str:
        """Names with anything but ASCII are refused (facts 3.3)."""
        stem, extension = os.path.splitext(filename)
        stem = stem.encode("ascii", "ignore").decode().strip() or "file"
        return stem + extension.encode("ascii", "ignore").decode()

    def reaction_name(self, emoji: str) -> str:
        """The Page stack documents ``love`` only; the other takes both names and emoji."""
        return "love" if emoji in _HEARTS else emoji

    async def check(self, http: Http, account: Account) -> AccountFacts:
        if _on_login_stack(account):
            found = await self._get(http, account, "me", "user_id,username,name")
            options = {"stack": "login"}
            # ``id`` is another number, scoped to the app; webhooks carry ``user_id``.
            account_id = as_id(found.get("user_id"))
        else:
            page = await self._get(http, account, "me", "id,name,instagram_business_account{id,username,name}")
            found = as_object(page.get("instagram_business_account"))
            options = {"stack": "page", "page_id": as_id(page.get("id")) or ""}
            account_id = as_id(found.get("id"))
        if account_id is None:
            raise FetchError(Fault("not_found", "No professional Instagram account belongs to this token."))
        name = as_text(found.get("username"), SHORT) or as_text(found.get("name"), SHORT) or account_id
        return AccountFacts(account_id, name, options)


def _on_login_stack(account: Account) -> bool:
    return account.options.get("stack") == "login"
