"""An account as its registration wishes it."""

from __future__ import annotations

from channels.simulator.meta_state import TOKEN_LIFE, MetaState, Token
from channels.simulator.schemas import AccountWish, Options
from channels.simulator.templates import default_templates
from channels.simulator.world import HOUR, Account


def account_of(wish: AccountWish, now: float) -> Account:
    options = wish.options
    return Account(
        kind=wish.kind,
        account_id=wish.account_id,
        token=wish.token,
        secret=wish.secret_token if wish.kind == "telegram" else wish.app_secret,
        webhook_url=wish.webhook_url,
        verify_token=wish.verify_token,
        name=options.name,
        username=options.username,
        waba_id=options.waba_id or f"9{wish.account_id}",
        display_phone_number=options.display_phone_number,
        page_id=options.page_id,
        stack=options.stack,
        app_id=options.app_id,
        echoes=options.echoes,
        edit_trap=options.edit_trap,
        messages_per_second=options.messages_per_second,
        subscribed=options.subscribed,
        allowed_updates=frozenset(options.allowed_updates) if options.allowed_updates is not None else None,
        templates=options.templates if options.templates is not None else default_templates(),
        meta=MetaState(
            token=_token(wish, options, now),
            media_per_second=options.media_per_second,
            profile_access=options.profile_access,
            pair_rate=options.pair_rate,
            link_seconds=options.media_link_seconds,
            legacy_stickers=options.legacy_stickers,
            string_numbers=options.string_numbers,
        ),
    )


def _token(wish: AccountWish, options: Options, now: float) -> Token:
    issued_at = now - options.token_hours_old * HOUR
    expires_at: float | None = None
    if options.token_hours_left is not None:
        expires_at = now + options.token_hours_left * HOUR
    elif wish.kind == "instagram" and options.stack == "login":
        expires_at = issued_at + TOKEN_LIFE
    return Token(issued_at, expires_at, scopes=frozenset(options.scopes) if options.scopes is not None else None)
