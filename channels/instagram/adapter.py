"""Instagram on its two stacks: ``login`` talks to graph.instagram.com as the account, ``page`` as the linked Page.

Nothing we send comes back in the echo, so an echo is recognised by its words and time (channel facts, section 0).
"""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from channels.abilities import NewToken
from channels.adapter import AccountFacts, Http
from channels.capabilities import Capabilities
from channels.errors import FetchError, SendError
from channels.instagram.capabilities import CAPABILITIES, LOGIN_STACK, PAGE_STACK
from channels.instagram.faults import FAULTS
from channels.meta.graph import GraphApi
from channels.meta.messaging_adapter import MessagingAdapter
from channels.meta.messaging_connect import PAGE_EXTRAS, PAGE_FIELDS, Needs
from channels.types import Account, Address, Fault
from channels.wire import SHORT, as_id, as_integer, as_object, as_text

LOGIN_HOST: Final = "https://graph.instagram.com"
_HEARTS: Final = frozenset({"❤", "❤️", "♥", "♥️"})
_NO_CONSENT: Final = 230
"""A commenter who never wrote has not consented; where messages are sent, the same code is a missing permission."""
_FIELDS: Final = ("messages", "messaging_postbacks", "messaging_seen", "message_reactions", "messaging_referral")
_LONGEST_LIFE: Final = 10 * 365 * 86_400
"""Seconds; what a date can surely hold, and far beyond what Instagram gives."""
_EXTRAS: Final = ("message_edit", "messaging_handover", "standby")


class InstagramAdapter(MessagingAdapter):
    kind = "instagram"
    name = "Instagram"
    capabilities = CAPABILITIES
    graph = GraphApi(FAULTS)
    address_kind = "instagram_user"
    profile_fields = "name,username,profile_pic"
    profile_refusals = frozenset({_NO_CONSENT})
    upload_form = MappingProxyType({"platform": "instagram"})

    def capabilities_of(self, account: Account) -> Capabilities:
        """What the account's stack can do of what ``capabilities`` names."""
        return LOGIN_STACK if _on_login_stack(account) else PAGE_STACK

    def node(self, account: Account) -> str:
        if _on_login_stack(account):
            return quote(account.account_id, safe="")
        # To the token of a Page, ``me`` is that Page (facts 2.3): its id may still be unknown here.
        return quote(account.options.get("page_id") or "me", safe="")

    def host(self, account: Account) -> str | None:
        return LOGIN_HOST if _on_login_stack(account) else None

    def filename(self, filename: str) -> str:
        """Names with anything but ASCII are refused (facts 3.3)."""
        stem, extension = os.path.splitext(filename)
        stem = stem.encode("ascii", "ignore").decode().strip() or "file"
        return stem + extension.encode("ascii", "ignore").decode()

    def reaction_name(self, account: Account, emoji: str) -> str:
        """The Page stack documents ``love`` only; the other takes both names and emoji."""
        if emoji in _HEARTS:
            return "love"
        if (offered := self.capabilities_of(account).reaction_emoji) and emoji not in offered:
            reason = f"An Instagram account that is connected through its Page reacts with {' '.join(offered)} only."
            raise SendError(Fault("not_offered", reason))
        return emoji

    async def _moderate(self, http: Http, account: Account, peer: Sequence[Address], action: str) -> None:
        if not self.capabilities_of(account).blocks_people:
            reason = "Instagram blocks people only for accounts that are connected through their Page."
            raise SendError(Fault("not_offered", f"{reason} Block this person in the Instagram app."))
        await super()._moderate(http, account, peer, action)

    def needs(self, account: Account) -> Needs:
        if _on_login_stack(account):
            return Needs(
                called="Instagram account",
                path="me/subscribed_apps",
                host=LOGIN_HOST,
                fields=_FIELDS,
                extras=_EXTRAS,
                watched=_FIELDS,
                webhook_object="Instagram",
                webhook_fields=(*_FIELDS, *_EXTRAS),
                permissions=(),  # nothing on this stack tells them
            )
        return Needs(
            called="Instagram account",
            path=f"{self.node(account)}/subscribed_apps",
            host=None,
            # The Page subscribes, for Messenger too: a shorter list would take away what that channel needs.
            fields=PAGE_FIELDS,
            extras=PAGE_EXTRAS,
            watched=(),  # which of Instagram's events come is chosen in the app, not on the Page
            webhook_object="Instagram",
            webhook_fields=(*_FIELDS, *_EXTRAS),
            permissions=("instagram_basic", "instagram_manage_messages", "pages_manage_metadata"),
        )

    async def renew(self, http: Http, account: Account) -> NewToken | None:
        """A token of the Login stack lives 60 days; from its second day on it can be exchanged (facts 3.1)."""
        if not _on_login_stack(account):
            return None
        answer = await self.graph.call(
            http,
            account,
            "GET",
            "refresh_access_token",
            query={"grant_type": "ig_refresh_token"},
            host=LOGIN_HOST,
            repeatable=True,
            error=FetchError,
        )
        token, seconds = as_text(answer.get("access_token")), as_integer(answer.get("expires_in"))
        if token is None or seconds is None or not 0 < seconds < _LONGEST_LIFE:
            raise FetchError(Fault("temporary", "Instagram's answer holds no new token.", retryable=True))
        return NewToken(token, self._now() + timedelta(seconds=seconds))

    async def _owner(self, http: Http, account: Account) -> AccountFacts:
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
