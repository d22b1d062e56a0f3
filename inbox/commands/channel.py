"""`inbox channel`: connect real accounts, look what is wrong with them, list them. Speaks to a running server.

Secrets come from the environment, a prompt that shows nothing, or standard input, never from the command line, which
others on the machine can read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import click

from inbox.commands.access import enter, folder_option, from_outside
from inbox.commands.failures import Failure
from inbox.demo.api import Api, Json
from inbox.demo.lines import safe
from inbox.demo.record import get_record

MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}
ACCOUNTS: Final = {
    "whatsapp": "Phone number id",
    "messenger": "Page id",
    "instagram": "Instagram account id",
}
NEEDED_OPTIONS: Final = {"whatsapp": {"waba_id": "WhatsApp Business Account id"}}

url_option = click.option("--url", envvar="INBOX_URL", help="Of the server, when it is not the demo's. [INBOX_URL]")


@click.group()
def channel() -> None:
    """Connect real accounts, and see how they stand.

    Who asks is told by the API token in INBOX_TOKEN; without one, the demo's admin.
    """


@channel.command("list")
@url_option
@folder_option
def list_channels(url: str | None, folder: Path) -> None:
    """List the channels with their health."""

    async def work(api: Api) -> None:
        found = await api.all("/v1/channels")
        if not found:
            click.echo("No channels. `inbox channel connect KIND` connects one.")
        for one in found:
            _say_channel(one)
            if one["health"] != "ok":
                click.echo(f"    {safe(str(one['health_reason'] or ''))}")

    _on_server(url, folder, work)


@channel.command()
@click.argument("channel_id", metavar="[ID]", type=click.UUID, required=False)
@url_option
@folder_option
def check(channel_id: UUID | None, url: str | None, folder: Path) -> None:
    """Ask the provider what is wrong, and say how to mend it. Without an ID: every enabled channel.

    The exit code is 1 when something is broken.
    """

    async def work(api: Api) -> None:
        if channel_id is not None:
            chosen = [await api.get(f"/v1/channels/{channel_id}")]
        else:
            chosen = [one for one in await api.all("/v1/channels") if one["state"] == "enabled"]
        broken = False
        for one in chosen:
            _say_channel(one)
            result = await api.post(f"/v1/channels/{one['id']}/check")
            _say_findings(result)
            broken = broken or not result["ok"] or _is_broken(result)
        if broken:
            raise SystemExit(1)

    _on_server(url, folder, work)


@dataclass(frozen=True, slots=True)
class _Wish:
    kind: str
    account: str | None
    app: UUID | None
    name: str | None
    options: dict[str, str]
    api_base: str | None


class Setting(click.ParamType[tuple[str, str]]):
    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, separator, setting = str(value).partition("=")
        if not name or not separator:
            self.fail(f"{value} is not a name and a value with = between them", param, ctx)
        return name, setting


@channel.command()
@click.argument("kind")
@click.option("--account", help="The id of the account there; asked for where it is needed.")
@click.option("--app", type=click.UUID, help="The provider app to connect through; needed when there are several.")
@click.option("--name", help="What the channel is called here.")
@click.option("--option", "options", type=Setting(), multiple=True, help="A fact of the kind, such as waba_id=…")
@click.option("--api-base", help="Of a simulator, in place of the provider's.")
@url_option
@folder_option
def connect(
    kind: str,
    account: str | None,
    app: UUID | None,
    name: str | None,
    options: tuple[tuple[str, str], ...],
    api_base: str | None,
    url: str | None,
    folder: Path,
) -> None:
    """Connect an account of KIND (whatsapp, messenger, instagram, telegram, …), or give it a new token.

    The access token is read from INBOX_CHANNEL_TOKEN, the secret of a new Meta app from INBOX_APP_SECRET; otherwise
    both are asked for, or read line by line from standard input.
    """
    wish = _Wish(kind, account, app, name, dict(options), api_base)
    _on_server(url, folder, lambda api: _connect(api, wish))


async def _connect(api: Api, wish: _Wish) -> None:
    kinds = {one["kind"]: one for one in await api.get("/v1/channel-kinds")}
    if wish.kind not in kinds:
        raise Failure(f"there is no kind of channel called {wish.kind}", f"choose one of {', '.join(sorted(kinds))}")
    token = _secret("INBOX_CHANNEL_TOKEN", "Access token")
    account = wish.account or _account_of(wish.kind, token)
    options = {**_asked_options(wish), **wish.options}
    known = [one for one in await api.all("/v1/channels") if (one["kind"], one["account_id"]) == (wish.kind, account)]
    if known:
        made = known[0]
        merged = {**made["options"], **options}
        await api.patch(f"/v1/channels/{made['id']}", {"token": token, "options": merged})
        click.echo("It was connected before: it has the new token now.")
    else:
        app = await _app(api, kinds[wish.kind]["provider"], account, wish.app)
        made = await api.post(
            "/v1/channels",
            {
                "kind": wish.kind,
                "provider_app_id": app["id"],
                "account_id": account,
                "name": wish.name or f"{wish.kind} {account}",
                "token": token,
                "options": options,
                "api_base": wish.api_base,
            },
        )
    result = await api.post(f"/v1/channels/{made['id']}/connect")
    _say_channel(result["channel"])
    _say_findings(result)
    if result["verify_token"] is not None:
        click.echo("\nFor the provider's form, under Webhooks:")
        click.echo(f"    callback URL  {result['webhook_url']}")
        click.echo(f"    verify token  {result['verify_token']}")
    if not result["ok"]:
        click.echo(f"\nNot connected yet. Mend it, then run this again, or `inbox channel check {made['id']}`.")
        raise SystemExit(1)
    click.echo(f"\nConnected. `inbox channel check {made['id']}` looks again at any time.")


async def _app(api: Api, provider: str, account: str, wanted: UUID | None) -> Json:
    """The provider app to use: the named one, the only one that fits, or a new one."""
    apps = [one for one in await api.all("/v1/provider-apps") if one["provider"] == provider]
    if wanted is not None:
        found = [one for one in apps if one["id"] == str(wanted)]
        if not found:
            raise Failure(f"there is no app of {provider} with the id {wanted}")
        return found[0]
    # One that belongs to an account serves that account alone; the others serve all.
    bound = [one for one in apps if one["account_id"] == account]
    fitting = bound or [one for one in apps if one["account_id"] is None]
    if len(fitting) > 1:
        listed = "; ".join(f"{one['id']} ({safe(one['name'])})" for one in fitting)
        raise Failure(f"several apps of {provider} fit", f"choose one with --app: {listed}")
    if fitting:
        return fitting[0]
    fields: Json = {"provider": provider, "name": f"{provider} app"}
    if provider == "meta":
        fields["signing_secrets"] = [_secret("INBOX_APP_SECRET", "App secret of the Meta app")]
    else:
        fields |= {"account_id": account, "name": f"{provider} {account}"}
    made: Json = (await api.post("/v1/provider-apps", fields))["app"]
    return made


def _account_of(kind: str, token: str) -> str:
    """A Telegram bot's id is the beginning of its token; others have to be told."""
    if kind == "telegram":
        return token.partition(":")[0]
    return str(click.prompt(ACCOUNTS.get(kind, "Account id"), err=True)).strip()


def _asked_options(wish: _Wish) -> dict[str, str]:
    return {
        name: str(click.prompt(label, err=True)).strip()
        for name, label in NEEDED_OPTIONS.get(wish.kind, {}).items()
        if name not in wish.options
    }


def _secret(variable: str, label: str) -> str:
    found = os.environ.get(variable)
    if not found:
        found = click.prompt(label, hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    found = str(found).strip()
    if not found:
        raise Failure(f"{label.lower()} is missing", f"set {variable}, or give it on standard input")
    return found


def _on_server(url: str | None, folder: Path, work: Callable[[Api], Coroutine[Any, Any, None]]) -> None:
    token = os.environ.get("INBOX_TOKEN")
    if url is not None and token is None:
        raise click.UsageError("--url needs an API token in INBOX_TOKEN; `inbox token create` makes one")

    async def run() -> None:
        async with Api(url or get_record(folder).url, token) as api:
            await enter(api, folder, "admin")
            try:
                await work(api)
            finally:
                if token is None:
                    await api.log_out()

    from_outside(run)


def _say_channel(one: Json) -> None:
    state = one["state"] if one["state"] != "enabled" else one["health"]
    click.echo(f"{one['id']}  {one['kind']:10} {one['account_id']:20} {safe(one['name'])}  [{state}]")


def _say_findings(result: Json) -> None:
    fault = result["fault"]
    if fault is not None:
        _say_finding("broken", fault["reason"], "Give it a new token: `inbox channel connect`." * fault["reauthorise"])
    for one in result["findings"]:
        _say_finding(one["state"], one["reason"], one["remedy"])
    if fault is None and not result["findings"]:
        _say_finding("ok", "The credentials work.", None)


def _say_finding(state: str, reason: str, remedy: str | None) -> None:
    mark, colour = MARKS[state]
    click.echo(f"  {click.style(mark, fg=colour)} {safe(reason)}")
    if remedy:
        click.echo(f"    → {safe(remedy)}")


def _is_broken(result: Json) -> bool:
    return any(one["state"] == "broken" for one in result["findings"])
