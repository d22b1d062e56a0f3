"""Access tokens: whose they are, how long they live, what they permit (facts, 0, 3.1)."""

from __future__ import annotations

import hmac
import secrets

from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, bad_token
from channels.simulator.meta_state import TOKEN_LIFE
from channels.simulator.world import DAY, Account, World
from channels.types import JsonObject

_TROUBLES = {
    458: "The user has not authorized application.",
    459: "The session has been invalidated because the user has a checkpoint.",
    460: "The session has been invalidated because the user changed their password or it was changed for security.",
    463: "Session has expired.",
    464: "Sessions for the user are not allowed because the user is not a confirmed user.",
    467: "The access token is invalid since the user hasn't engaged the app in longer than 90 days.",
}
_SCOPES: dict[str, tuple[str, ...]] = {
    "whatsapp": ("whatsapp_business_management", "whatsapp_business_messaging"),
    "messenger": ("pages_messaging", "pages_manage_metadata", "pages_read_engagement", "pages_show_list"),
    "instagram page": ("instagram_basic", "instagram_manage_messages", "pages_manage_metadata"),
    "instagram login": ("instagram_business_basic", "instagram_business_manage_messages"),
}
_TOKEN_TYPES = {"whatsapp": "SYSTEM_USER", "messenger": "PAGE", "instagram": "USER"}
_WABA_EDGES = frozenset({"subscribed_apps", "message_templates", "phone_numbers"})


def owned_by(world: World, token: str | None) -> list[Account]:
    """The Meta accounts that the token speaks for. A token that is no good is refused as 190."""
    owned = [account for account in world.owned_by(token or "") if account.kind != "telegram"]
    if token is None or not owned:
        raise bad_token()
    for account in owned:
        trouble = _trouble(world, account, token)
        if trouble is not None:
            raise GraphError(190, f"Error validating access token: {_sentence(trouble)}", subcode=trouble, status=401)
    return owned


def _trouble(world: World, account: Account, token: str) -> int | None:
    state = account.meta.token
    return state.trouble or (463 if state.expired(world.now(), token) else None)


def _sentence(subcode: int) -> str:
    return _TROUBLES.get(subcode, "The session is invalid.")


# --- Permissions ------------------------------------------------------------------------------------------------------


def scopes_of(account: Account) -> list[str]:
    granted = account.meta.token.scopes
    usual = _SCOPES[f"instagram {account.stack}" if account.kind == "instagram" else account.kind]
    return list(usual) if granted is None else sorted(granted)


def check_permission(account: Account, edge: str | None) -> None:
    needed = _needed(account, edge)
    if needed is None or needed in scopes_of(account):
        return
    if account.kind == "whatsapp":
        if edge in _WABA_EDGES:
            raise GraphError(200, "(#200) You do not have the necessary permissions to do this", status=403)
        raise GraphError(131005, "(#131005) Access denied", details=f"{needed} was not granted", status=403)
    if account.kind == "messenger":
        message = f"(#200) Requires {needed} permission to manage the object"
        raise GraphError(200, message, subcode=2018028, status=403)
    raise GraphError(10, "(#10) Application does not have permission for this action", status=403)


def _needed(account: Account, edge: str | None) -> str | None:
    if edge is None:
        return None
    if account.kind == "whatsapp":
        return "whatsapp_business_management" if edge in _WABA_EDGES else "whatsapp_business_messaging"
    if account.kind == "instagram" and account.stack == "login":
        return "instagram_business_manage_messages"
    if edge == "subscribed_apps":
        return "pages_manage_metadata"
    return "pages_messaging" if account.kind == "messenger" else "instagram_manage_messages"


# --- Endpoints --------------------------------------------------------------------------------------------------------


def debug(world: World, call: Call) -> Reply:
    """``GET /debug_token``: asked with any good token of the app, or with ``app id|app secret``."""
    if not _is_app_token(world, call.token or ""):
        owned_by(world, call.token)
    token = str(call.fields.get("input_token") or "")
    if not token:
        raise bad("The parameter input_token is required")
    owned = [account for account in world.owned_by(token) if account.kind != "telegram"]
    if not owned:
        return Reply({"data": _invalid("Invalid OAuth access token - Cannot parse access token", None)})
    account = owned[0]
    state = account.meta.token
    ends = state.former.get(token, state.expires_at)
    scopes = scopes_of(account)
    targets = [each.waba_id if each.kind == "whatsapp" else each.account_id for each in owned]
    data: JsonObject = {
        "app_id": account.app_id,
        "type": _TOKEN_TYPES[account.kind],
        "application": "Inbox",
        "data_access_expires_at": 0,
        "expires_at": int(ends or 0),
        "issued_at": int(state.issued_at),
        "is_valid": True,
        "scopes": [*scopes],
        "granular_scopes": [{"scope": scope, "target_ids": [*targets]} for scope in scopes],
        "profile_id": account.account_id,
    }
    trouble = _trouble(world, account, token)
    if trouble is not None:
        data |= _invalid(f"Error validating access token: {_sentence(trouble)}", trouble)
    return Reply({"data": data})


def _invalid(message: str, subcode: int | None) -> JsonObject:
    error: JsonObject = {"code": 190, "message": message}
    if subcode is not None:
        error["subcode"] = subcode
    return {"error": error, "is_valid": False, "scopes": []}


def _is_app_token(world: World, token: str) -> bool:
    app_id, _, secret = token.partition("|")
    return any(
        account.app_id == app_id and account.secret and hmac.compare_digest(account.secret.encode(), secret.encode())
        for account in world.accounts.values()
    )


def refresh(world: World, account: Account, call: Call) -> Reply:
    """``GET /refresh_access_token``: another 60 days, for a token that is a day old and unexpired (facts, 3.1)."""
    if call.fields.get("grant_type") != "ig_refresh_token" or account.kind != "instagram" or account.stack != "login":
        raise bad("Invalid grant_type")
    state = account.meta.token
    if world.now() - state.issued_at < DAY:
        raise bad("The access token cannot be refreshed before it is 24 hours old")
    world.renew_token(account, f"IG{secrets.token_urlsafe(48)}", world.now() + TOKEN_LIFE)
    permissions = ",".join(scopes_of(account))
    return Reply({
        "access_token": account.token, "token_type": "bearer", "expires_in": int(TOKEN_LIFE),
        "permissions": permissions,
    })  # fmt: skip
