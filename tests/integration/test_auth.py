"""Log-in, throttle, tokens, tickets and agents, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from served_app import PASSWORD, Json, Node, User, serve

from contacts.routes import Caller
from inbox.agents import credentials, repository
from inbox.agents.principal import Principal
from inbox.agents.throttle import Allowance, TooManyLogIns
from inbox.agents.tokens import TicketInvalid
from inbox.kernel.errors import Unauthenticated
from inbox.kernel.secrets import Passwords
from inbox.kernel.wakeup import Wakeup

WRONG = "wrong horse battery"


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    async with serve(database_url) as node:
        yield node


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: str = answer.json()["code"]
    return found


def pointers(answer: Any) -> list[str]:
    assert code(answer, 422) == "invalid"
    return [fault["pointer"] for fault in answer.json()["faults"]]


async def attempt(node: Node, email: str = "ada@example.com", password: str = WRONG, **headers: str) -> Any:
    return await node.client.post("/v1/sessions", json={"email": email, "password": password}, headers=headers)


async def principal(user: User) -> Principal:
    return await user.node.authentication.bearer(user.token)


class TestWorkspaces:
    async def test_begins_with_an_admin_and_a_log(self, node: Node) -> None:
        made = await node.workspace()
        async with node.database.session() as connection:
            state = await node.event_log.state(connection, made.workspace.id)
        assert (state.head, state.floor) == (1, 0)
        [(kind, payload)] = await node.events(made.workspace.id)
        assert kind == "agent.created"
        assert payload["agent"]["email"] == "ada@example.com"
        assert payload["agent"]["role"] == "admin"
        assert set(payload["agent"]) == {"id", "name", "email", "role", "disabled", "created_at"}

    @pytest.mark.parametrize(
        "given", [("", "Ada", "a@b.c", PASSWORD), ("x", "Ada", "no e-mail", PASSWORD), ("x", "Ada", "a@b.c", "hunter2")]
    )
    async def test_refuses_what_the_api_would(self, node: Node, given: tuple[str, str, str, str]) -> None:
        with pytest.raises(ValidationError) as refused:
            await node.workspaces.create_workspace(*given)
        assert "hunter2" not in str(refused.value)
        assert await node.fetchval("SELECT count(*) FROM workspaces") == 0


class TestLogIn:
    async def test_gives_a_token_that_names_its_owner(self, node: Node) -> None:
        made = await node.workspace()
        answer = await attempt(node, " Ada@Example.COM".strip(), PASSWORD)
        assert answer.status_code == 201
        session = answer.json()
        assert session["workspace"] == {"id": str(made.workspace.id), "name": "Acme"}
        assert session["agent"]["id"] == str(made.admin.id)
        me = await User(node, session["token"]).me()
        assert me["agent"] == session["agent"]
        assert {"agents.write", "channels.write", "stream"} <= set(me["permissions"])

    async def test_unknown_e_mail_and_wrong_password_answer_the_same(self, node: Node) -> None:
        await node.workspace()
        wrong, unknown = await attempt(node), await attempt(node, "nobody@example.com")
        assert code(wrong, 401) == "log_in_refused"
        for answer in (one := wrong.json(), other := unknown.json()):
            del answer["request_id"]
        assert one == other

    async def test_of_nobody_costs_a_password_check_too(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        checked: list[str | None] = []

        async def verify(_: Passwords, password: str, hashed: str | None) -> bool:
            checked.append(hashed)
            return False

        monkeypatch.setattr(Passwords, "verify", verify)
        await attempt(node, "nobody@example.com")
        assert checked == [None]

    async def test_of_a_disabled_agent_is_refused(self, node: Node) -> None:
        admin = await node.admin()
        await admin.colleague("agent", "bob@example.com")
        [bob] = [one for one in (await admin.get("/v1/agents")).json()["items"] if one["email"] == "bob@example.com"]
        await admin.patch(f"/v1/agents/{bob['id']}", {"disabled": True})
        assert code(await attempt(node, "bob@example.com", PASSWORD), 401) == "log_in_refused"

    async def test_names_the_workspaces_only_to_who_knows_the_password(self, node: Node) -> None:
        first, second = await node.workspace("Acme"), await node.workspace("Beta")
        assert code(await attempt(node), 401) == "log_in_refused"
        answer = await attempt(node, password=PASSWORD)
        assert pointers(answer) == ["/body/workspace_id"]
        assert {one["id"]: one["name"] for one in answer.json()["workspaces"]} == {
            str(first.workspace.id): "Acme",
            str(second.workspace.id): "Beta",
        }
        user = await node.log_in(workspace_id=str(second.workspace.id))
        assert (await user.me())["workspace"]["name"] == "Beta"
        other = {"email": "ada@example.com", "password": PASSWORD, "workspace_id": str(uuid4())}
        assert code(await node.client.post("/v1/sessions", json=other), 401) == "log_in_refused"

    async def test_several_workspaces_with_different_passwords_need_no_choice(self, node: Node) -> None:
        await node.workspace("Acme")
        await node.workspaces.create_workspace("Beta", "Ada", "ada@example.com", "another password")
        assert (await (await node.log_in(password="another password")).me())["workspace"]["name"] == "Beta"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, {"/body/email", "/body/password"}),
            ({"email": "no", "password": "x"}, {"/body/email"}),
            ({"email": "ä@ö.de", "password": "x"}, {"/body/email"}),
            ({"email": "a@b.c", "password": ""}, {"/body/password"}),
            ({"email": "a@b.c", "password": "x" * 257}, {"/body/password"}),
            ({"email": "a@b.c", "password": "x\u0000"}, {"/body/password"}),
            ({"email": "a@b.c", "password": "x", "workspace_id": "no"}, {"/body/workspace_id"}),
            ({"email": "a@b.c", "password": "x", "more": 1}, {"/body/more"}),
        ],
    )
    async def test_refuses_what_it_cannot_read(self, node: Node, body: Json, expected: set[str]) -> None:
        assert set(pointers(await node.client.post("/v1/sessions", json=body))) == expected

    async def test_logging_out_ends_the_session_at_once(self, node: Node) -> None:
        admin = await node.admin()
        other = await node.log_in()
        assert (await admin.delete("/v1/sessions/current")).status_code == 204
        assert code(await admin.get("/v1/me"), 401) == "token_refused"
        assert (await other.get("/v1/me")).status_code == 200

    async def test_a_session_that_expired_is_refused_although_it_was_cached(self, node: Node) -> None:
        admin = await node.admin()
        await node.fetchval("UPDATE tokens SET expires_at = now() + interval '0.2 seconds' RETURNING 1")
        assert (await admin.get("/v1/me")).status_code == 200
        await asyncio.sleep(0.25)
        node.clock.advance(0.25)
        assert code(await admin.get("/v1/me"), 401) == "token_refused"

    async def test_a_password_that_changes_between_check_and_session_gives_none(
        self, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await node.workspace()
        insert = credentials.insert_session

        async def late(*args: Any, **kwargs: Any) -> Any:
            await node.fetchval("UPDATE agents SET password_hash = 'changed' RETURNING 1")
            return await insert(*args, **kwargs)

        monkeypatch.setattr(credentials, "insert_session", late)
        assert code(await attempt(node, password=PASSWORD), 401) == "log_in_refused"
        assert await node.fetchval("SELECT count(*) FROM tokens") == 0

    async def test_a_weaker_hash_is_renewed(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        await node.workspace()
        before = await node.fetchval("SELECT password_hash FROM agents")
        monkeypatch.setattr("inbox.kernel.secrets.Passwords.needs_rehash", staticmethod(lambda _: True))
        await node.log_in()
        assert await node.fetchval("SELECT password_hash FROM agents") != before
        await node.log_in()


class TestThrottle:
    async def test_stops_guessing_for_an_e_mail_and_says_how_long(self, database_url: str) -> None:
        async with serve(database_url, per_email_there=Allowance(3, 600)) as node:
            await node.workspace()
            for _ in range(3):
                assert code(await attempt(node), 401) == "log_in_refused"
            answer = await attempt(node, password=PASSWORD)
            assert code(answer, 429) == "too_many_log_ins"
            assert 100 < answer.json()["retry_after"] <= 200
            assert int(answer.headers["retry-after"]) >= answer.json()["retry_after"]
            await node.workspace("Beta", "bob@example.com")
            await node.log_in("bob@example.com")

    async def test_counts_unknown_e_mails_too(self, database_url: str) -> None:
        async with serve(database_url, per_email_there=Allowance(1, 600)) as node:
            assert (await attempt(node, "nobody@example.com")).status_code == 401
            assert (await attempt(node, "nobody@example.com")).status_code == 429

    async def test_guesses_from_elsewhere_do_not_lock_the_right_person_out(self, database_url: str) -> None:
        async with serve(database_url, per_email_there=Allowance(2, 600), trust_proxy=True) as node:
            await node.workspace()
            guesser, owner = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.8"}
            assert [(await attempt(node, **guesser)).status_code for _ in range(3)] == [401, 401, 429]
            assert (await attempt(node, password=PASSWORD, **owner)).status_code == 201
            assert (await attempt(node, password=PASSWORD, **guesser)).status_code == 429

    async def test_stops_guesses_for_one_e_mail_from_many_addresses(self, database_url: str) -> None:
        async with serve(database_url, per_email=Allowance(3, 600), trust_proxy=True) as node:
            await node.workspace()
            for number in range(3):
                assert (await attempt(node, **{"X-Forwarded-For": f"198.51.100.{number}"})).status_code == 401
            assert (await attempt(node, **{"X-Forwarded-For": "198.51.100.9"})).status_code == 429

    async def test_one_right_password_does_not_clear_the_guesses_of_others(self, database_url: str) -> None:
        few = Allowance(2, 600)
        async with serve(database_url, per_email=Allowance(3, 600), per_email_there=few, trust_proxy=True) as node:
            await node.workspace()
            guesser, owner = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.8"}
            assert [(await attempt(node, **guesser)).status_code for _ in range(2)] == [401, 401]
            assert (await attempt(node, password=PASSWORD, **owner)).status_code == 201
            assert (await attempt(node, **guesser)).status_code == 429
            for number, status in ((1, 401), (2, 429)):
                assert (await attempt(node, **{"X-Forwarded-For": f"198.51.100.{number}"})).status_code == status

    async def test_sinks_with_time_and_a_success_clears_it(self, database_url: str) -> None:
        async with serve(database_url, per_email_there=Allowance(3, 600)) as node:
            await node.workspace()
            for _ in range(3):
                await attempt(node)
            assert (await attempt(node)).status_code == 429
            await node.fetchval("UPDATE login_throttle SET updated_at = now() - interval '201 seconds' RETURNING 1")
            await node.log_in()
            for _ in range(3):
                assert (await attempt(node)).status_code == 401

    async def test_stops_an_address_that_tries_many_e_mails(self, database_url: str) -> None:
        async with serve(database_url, per_address=Allowance(3, 600), trust_proxy=True) as node:
            await node.workspace()
            spoofed = {"X-Forwarded-For": "203.0.113.1, 198.51.100.7"}
            for number in range(3):
                assert (await attempt(node, f"{number}@example.com", **spoofed)).status_code == 401
            assert (await attempt(node, "4@example.com", **{"X-Forwarded-For": "198.51.100.7"})).status_code == 429
            assert (await attempt(node, "4@example.com", **{"X-Forwarded-For": "198.51.100.8"})).status_code == 401

    async def test_right_passwords_do_not_use_up_an_address(self, database_url: str) -> None:
        async with serve(database_url, per_address=Allowance(2, 600)) as node:
            await node.workspace()
            for _ in range(4):
                await node.log_in()

    async def test_a_header_of_the_client_is_not_believed_without_a_proxy(self, database_url: str) -> None:
        async with serve(database_url, per_address=Allowance(2, 600)) as node:
            for number in range(2):
                await attempt(node, f"{number}@example.com", **{"X-Forwarded-For": f"198.51.100.{number}"})
            assert (await attempt(node, "3@example.com", **{"X-Forwarded-For": "198.51.100.3"})).status_code == 429

    async def test_guesses_at_once_on_two_nodes_share_one_allowance(self, database_url: str) -> None:
        few = Allowance(3, 600)
        async with serve(database_url, per_email_there=few) as one, serve(database_url, per_email_there=few) as two:
            answers = await asyncio.gather(*(attempt(node) for node in (one, two) * 6))
        assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 9

    async def test_keeps_no_e_mail(self, node: Node) -> None:
        await attempt(node, "secret-person@example.com")
        keys = await node.fetchval("SELECT string_agg(key, ' ') FROM login_throttle")
        assert "address:192.0.2.7" in keys
        assert "secret-person" not in keys


class TestTokens:
    async def test_is_shown_once_and_stored_as_a_digest(self, node: Node) -> None:
        admin = await node.admin()
        made = await admin.made("/v1/tokens", {"name": "script"})
        secret, token = made["secret"], made["token"]
        assert secret.startswith("ibx_")
        assert token["hint"] == secret[-4:]
        assert (await User(node, secret).get("/v1/me")).status_code == 200
        listed = (await admin.get("/v1/tokens")).text
        assert token["id"] in listed
        assert secret not in listed
        dump = await node.fetchval("SELECT string_agg(t::text, ' ') FROM tokens t")
        assert secret not in dump
        assert secret.removeprefix("ibx_api_") not in dump

    async def test_of_a_bot_has_its_role_and_scopes(self, node: Node) -> None:
        admin = await node.admin()
        bot = await admin.made("/v1/agents", {"role": "bot", "name": "Helper"})
        assert bot["email"] is None
        body = {"name": "bot", "agent_id": bot["id"], "scopes": ["messages.send", "stream"]}
        user = User(node, (await admin.made("/v1/tokens", body))["secret"])
        me = await user.me()
        assert (me["agent"]["id"], me["permissions"]) == (bot["id"], ["messages.send", "stream"])
        assert code(await user.get("/v1/contacts"), 403) == "forbidden"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, ["/body/name"]),
            ({"name": " "}, ["/body/name"]),
            ({"name": "x", "scopes": ["everything"]}, ["/body/scopes/0"]),
            ({"name": "x", "agent_id": str(uuid4())}, ["/body/agent_id"]),
            ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, ["/body/expires_at"]),
            ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, ["/body/expires_at"]),
            ({"name": "x", "expires_at": "9999-12-31T23:59:59-01:00"}, ["/body/expires_at"]),
            ({"name": "x", "expires_at": "0001-01-01T00:00:00+01:00"}, ["/body/expires_at"]),
            ({"name": "x", "expires_at": "2050-01-01T00:00:00Z"}, ["/body/expires_at"]),
        ],
    )
    async def test_refuses(self, node: Node, body: Json, expected: list[str]) -> None:
        assert pointers(await (await node.admin()).post("/v1/tokens", body)) == expected

    async def test_cannot_be_made_for_others(self, node: Node) -> None:
        admin, stranger = await node.admin(), await node.admin("Beta", "eve@example.com")
        agent = await admin.colleague("agent", "bob@example.com")
        bot = await admin.made("/v1/agents", {"role": "bot", "name": "Helper"})
        person = (await agent.me())["agent"]["id"]
        assert pointers(await admin.post("/v1/tokens", {"name": "x", "agent_id": person})) == ["/body/agent_id"]
        assert pointers(await stranger.post("/v1/tokens", {"name": "x", "agent_id": bot["id"]})) == ["/body/agent_id"]
        assert code(await agent.post("/v1/tokens", {"name": "x", "agent_id": bot["id"]}), 403) == "forbidden"

    async def test_gives_no_permission_that_the_role_has_not(self, node: Node) -> None:
        agent = await (await node.admin()).colleague("agent", "bob@example.com")
        answer = await agent.post("/v1/tokens", {"name": "x", "scopes": ["stream", "agents.write"]})
        assert pointers(answer) == ["/body/scopes/1"]

    async def test_with_scopes_hands_out_no_more_than_it_has(self, node: Node) -> None:
        scoped = await (await node.admin()).with_scopes("contacts.read", "stream")
        for scopes in ([], ["agents.write"], ["stream", "contacts.write"]):
            assert code(await scoped.post("/v1/tokens", {"name": "x", "scopes": scopes}), 403) == "forbidden"
        await scoped.made("/v1/tokens", {"name": "x", "scopes": ["stream"]})
        assert code(await scoped.get("/v1/tokens"), 403) == "forbidden"

    async def test_are_seen_and_ended_by_their_owner_or_an_admin(self, node: Node) -> None:
        admin, stranger = await node.admin(), await node.admin("Beta", "eve@example.com")
        agent = await admin.colleague("agent", "bob@example.com")
        own = (await agent.made("/v1/tokens", {"name": "own"}))["token"]["id"]
        of_admin = (await admin.me())["token_id"]
        assert {one["kind"] for one in (await agent.get("/v1/tokens")).json()["items"]} == {"session", "api"}
        assert of_admin not in (await agent.get("/v1/tokens")).text
        assert own in (await admin.get("/v1/tokens")).text
        assert own not in (await stranger.get("/v1/tokens")).text
        assert code(await agent.delete(f"/v1/tokens/{of_admin}"), 404) == "token_not_found"
        assert code(await stranger.delete(f"/v1/tokens/{own}"), 404) == "token_not_found"
        assert (await admin.delete(f"/v1/tokens/{own}")).status_code == 204
        assert own not in (await admin.get("/v1/tokens")).text

    async def test_are_listed_in_pages(self, node: Node) -> None:
        admin = await node.admin()
        made = [(await admin.made("/v1/tokens", {"name": str(n)}))["token"]["id"] for n in range(4)]
        first = (await admin.get("/v1/tokens?limit=3")).json()
        rest = (await admin.get(f"/v1/tokens?limit=3&after={first['next']}")).json()
        assert [one["id"] for one in first["items"] + rest["items"]][:4] == made[::-1]
        assert rest["next"] is None
        assert pointers(await admin.get("/v1/tokens?after=nonsense")) == ["/query/after"]

    async def test_scoped_may_end_itself_only(self, node: Node) -> None:
        admin = await node.admin()
        scoped = await admin.with_scopes("stream")
        assert code(await scoped.delete(f"/v1/tokens/{(await admin.me())['token_id']}"), 403) == "forbidden"
        assert (await scoped.delete("/v1/sessions/current")).status_code == 204
        assert code(await scoped.get("/v1/me"), 401) == "token_refused"


class TestAuthentication:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            "Basic ibx_api_x",
            "Bearer ibx_api_unknown",
            "Bearer other",
            f"Bearer ibx_{'x' * 500}",
        ],
    )
    async def test_refuses(self, node: Node, header: str) -> None:
        answer = await node.client.get("/v1/me", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_every_operation_wants_a_caller(self, node: Node) -> None:
        open_to_all = []
        for operation in node.operations:
            declared = operation.declaration
            path = declared.path.replace("{", "").replace("}", "")
            answer = await node.client.request(declared.method, path, headers={"Authorization": "Bearer ibx_api_no"})
            if answer.status_code != 401:
                open_to_all.append(operation.id)
            assert (answer.status_code == 401) == any(hint in (Principal, Caller) for _, hint in operation.injected)
        assert open_to_all == ["session.log_in"]

    async def test_costs_no_query_for_five_seconds(self, node: Node) -> None:
        admin = await node.admin()
        await principal(admin)
        await node.database.stop()
        node.clock.advance(4.9)
        assert (await principal(admin)).role == "admin"
        await node.database.start()

    async def test_a_revocation_counts_at_once_here_and_soon_elsewhere_without_a_wake_up(
        self, node: Node, database_url: str
    ) -> None:
        admin = await node.admin()
        async with serve(database_url) as other:
            there = User(other, admin.token)
            await principal(admin)
            await principal(there)
            await admin.delete("/v1/sessions/current")
            with pytest.raises(Unauthenticated):
                await principal(admin)
            await principal(there)
            other.clock.advance(5)
            with pytest.raises(Unauthenticated):
                await principal(there)

    async def test_a_revocation_reaches_other_nodes_by_wake_up(self, database_url: str) -> None:
        here, there = Wakeup(), Wakeup()
        async with serve(database_url, wakeup=here) as one, serve(database_url, wakeup=there) as two:
            for wakeup in (here, there):
                await wakeup.start(database_url)
                await asyncio.wait_for(wakeup.listening(), 10)
            admin = await one.admin()
            await principal(User(two, admin.token))
            await admin.delete("/v1/sessions/current")
            async with asyncio.timeout(5):
                while True:
                    try:
                        await principal(User(two, admin.token))
                    except Unauthenticated:
                        break
                    await asyncio.sleep(0.005)
            await here.stop()
            await there.stop()

    async def test_what_was_read_before_a_revocation_is_not_kept_after_it(
        self, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admin = await node.admin()
        find, read, go_on = credentials.find_bearer, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any) -> Any:
            found = await find(*args)
            read.set()
            await go_on.wait()
            return found

        monkeypatch.setattr(credentials, "find_bearer", slow)
        early = asyncio.create_task(principal(admin))
        await read.wait()
        await node.fetchval("UPDATE tokens SET revoked_at = now() RETURNING 1")
        node.authentication.changed(UUID((await node.fetchval("SELECT id FROM workspaces")).hex))
        go_on.set()
        await early
        with pytest.raises(Unauthenticated):
            await principal(admin)

    async def test_uses_are_written_later_and_together(self, node: Node) -> None:
        admin = await node.admin()
        await admin.me()
        assert await node.fetchval("SELECT last_used_at FROM tokens") is None
        await node.authentication.record_uses()
        used = await node.fetchval("SELECT last_used_at FROM tokens")
        assert used is not None
        await node.authentication.record_uses()
        assert await node.fetchval("SELECT last_used_at FROM tokens") == used

    async def test_uses_survive_a_database_that_is_away(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        admin = await node.admin()
        await admin.me()
        await node.database.stop()
        await node.authentication.start()
        await node.authentication.stop()
        assert "the use of tokens was not recorded" in caplog.text
        await node.database.start()
        await node.authentication.record_uses()
        assert await node.fetchval("SELECT last_used_at FROM tokens") is not None

    async def test_still_valid_ends_with_the_token_the_role_and_the_agent(self, node: Node) -> None:
        admin = await node.admin()
        ended, demoted, disabled = [
            await admin.colleague("supervisor", f"{name}@example.com") for name in ("ended", "demoted", "disabled")
        ]
        valid = node.authentication.still_valid
        before = [await principal(user) for user in (ended, demoted, disabled)]
        assert [await valid(one) for one in before] == [True] * 3
        await ended.delete("/v1/sessions/current")
        await admin.patch(f"/v1/agents/{before[1].agent_id}", {"role": "agent"})
        await admin.patch(f"/v1/agents/{before[2].agent_id}", {"disabled": True})
        assert [await valid(one) for one in before] == [False] * 3
        assert (await demoted.me())["agent"]["role"] == "agent"


class TestTickets:
    async def test_opens_one_socket_of_those_that_come_at_once(self, node: Node, database_url: str) -> None:
        admin = await node.admin()
        ticket = await admin.made("/v1/socket-tickets", None)
        assert ticket["url"] == "wss://inbox.test/v1/stream"
        async with serve(database_url) as other:
            found = await asyncio.gather(
                *(one.tickets.redeem(ticket["ticket"]) for one in (node, other) * 4), return_exceptions=True
            )
        [winner] = [one for one in found if isinstance(one, Principal)]
        assert winner == await principal(admin)
        assert sum(isinstance(one, TicketInvalid) for one in found) == 7

    async def test_is_refused_when_old(self, database_url: str) -> None:
        async with serve(database_url, ticket_seconds=0, public_url="http://localhost:8080/base/") as node:
            ticket = await (await node.admin()).made("/v1/socket-tickets", None)
            assert ticket["url"] == "ws://localhost:8080/base/v1/stream"
            with pytest.raises(TicketInvalid):
                await node.tickets.redeem(ticket["ticket"])
            assert await node.fetchval("SELECT count(*) FROM tickets") == 0

    @pytest.mark.parametrize("ticket", ["", "nonsense", "ibx_ticket_unknown", "ibx_ticket_\udcff"])
    async def test_is_refused_when_unknown(self, node: Node, ticket: str) -> None:
        with pytest.raises(TicketInvalid):
            await node.tickets.redeem(ticket)

    @pytest.mark.parametrize("end", ["UPDATE tokens SET revoked_at = now()", "UPDATE agents SET disabled_at = now()"])
    async def test_is_refused_when_its_owner_may_not_any_more(self, node: Node, end: str) -> None:
        ticket = await (await node.admin()).made("/v1/socket-tickets", None)
        await node.fetchval(f"{end} RETURNING 1")
        with pytest.raises(TicketInvalid):
            await node.tickets.redeem(ticket["ticket"])

    async def test_needs_the_permission_and_keeps_the_scopes(self, node: Node) -> None:
        admin = await node.admin()
        assert code(await (await admin.with_scopes("contacts.read")).post("/v1/socket-tickets"), 403) == "forbidden"
        ticket = await (await admin.with_scopes("stream")).made("/v1/socket-tickets", None)
        assert (await node.tickets.redeem(ticket["ticket"])).scopes == {"stream"}

    async def test_stores_only_a_digest(self, node: Node) -> None:
        ticket = (await (await node.admin()).made("/v1/socket-tickets", None))["ticket"]
        assert ticket not in await node.fetchval("SELECT string_agg(t::text, ' ') FROM tickets t")


class TestAgents:
    async def test_are_added_changed_and_told_to_everybody(self, node: Node) -> None:
        admin = await node.admin()
        workspace_id = (await admin.me())["workspace"]["id"]
        body = {"role": "agent", "name": " Bob ", "email": "Bob@Example.com", "password": PASSWORD}
        bob = await admin.made("/v1/agents", body)
        assert (bob["name"], bob["email"], bob["disabled"]) == ("Bob", "bob@example.com", False)
        changed = (await admin.patch(f"/v1/agents/{bob['id']}", {"name": "Robert", "role": "supervisor"})).json()
        assert changed == {**bob, "name": "Robert", "role": "supervisor"}
        assert (await admin.get(f"/v1/agents/{bob['id']}")).json() == changed
        await admin.patch(f"/v1/agents/{bob['id']}", {"name": "Robert", "disabled": None})
        events = (await node.events(UUID(workspace_id)))[1:]
        assert [kind for kind, _ in events] == ["agent.created", "agent.updated"]
        assert events[1][1]["agent"]["role"] == "supervisor"
        assert all("password" not in str(event) and PASSWORD not in str(event) for event in events)
        assert [one["id"] for one in (await admin.get("/v1/agents")).json()["items"]][1] == bob["id"]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, {"/body"}),
            ({"role": "owner", "name": "x"}, {"/body"}),
            ({"role": "agent", "name": "x"}, {"/body/email", "/body/password"}),
            ({"role": "agent", "name": "x", "email": "a@b.c", "password": "ninechars"}, {"/body/password"}),
            ({"role": "bot", "name": "x", "email": "a@b.c"}, {"/body/email"}),
            ({"role": "bot", "name": "x" * 129}, {"/body/name"}),
        ],
    )
    async def test_refuses(self, node: Node, body: Json, expected: set[str]) -> None:
        answer = await (await node.admin()).post("/v1/agents", body)
        assert set(pointers(answer)) == expected
        assert "ninechars" not in answer.text

    async def test_an_e_mail_is_taken_once_a_workspace(self, node: Node) -> None:
        admin = await node.admin()
        body = {"role": "agent", "name": "x", "email": "ADA@example.com", "password": PASSWORD}
        assert code(await admin.post("/v1/agents", body), 409) == "email_taken"
        await node.workspace("Beta", "ada@example.com")

    @pytest.mark.parametrize("role", ["supervisor", "agent"])
    async def test_only_admins_change_them(self, node: Node, role: str) -> None:
        admin = await node.admin()
        user = await admin.colleague(role, "bob@example.com")
        own = (await user.me())["agent"]["id"]
        assert (await user.get("/v1/agents")).status_code == 200
        assert code(await user.post("/v1/agents", {"role": "bot", "name": "x"}), 403) == "forbidden"
        assert code(await user.patch(f"/v1/agents/{own}", {"role": "admin"}), 403) == "forbidden"

    async def test_of_other_workspaces_do_not_exist(self, node: Node) -> None:
        admin, stranger = await node.admin(), await node.admin("Beta", "eve@example.com")
        own = (await admin.me())["agent"]["id"]
        assert own not in (await stranger.get("/v1/agents")).text
        assert code(await stranger.get(f"/v1/agents/{own}"), 404) == "agent_not_found"
        assert code(await stranger.patch(f"/v1/agents/{own}", {"name": "mine"}), 404) == "agent_not_found"
        assert code(await admin.patch(f"/v1/agents/{uuid4()}", {"name": "x"}), 404) == "agent_not_found"

    @pytest.mark.parametrize("patch", [{"role": "agent"}, {"disabled": True}])
    async def test_the_last_admin_stays(self, node: Node, patch: Json) -> None:
        admin = await node.admin()
        own = f"/v1/agents/{(await admin.me())['agent']['id']}"
        assert code(await admin.patch(own, patch), 409) == "last_admin"
        await admin.colleague("admin", "bob@example.com")
        assert (await admin.patch(own, patch)).status_code == 200

    async def test_two_admins_who_demote_each_other_leave_one(
        self, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock = repository.lock_with_admins

        async def slowly(*args: Any) -> Any:
            locked = await lock(*args)
            await asyncio.sleep(0.1)  # time for the other one to look, if nothing keeps it from that
            return locked

        monkeypatch.setattr(repository, "lock_with_admins", slowly)
        one = await node.admin()
        two = await one.colleague("admin", "bob@example.com")
        ids = [(await user.me())["agent"]["id"] for user in (one, two)]
        answers = await asyncio.gather(
            one.patch(f"/v1/agents/{ids[1]}", {"role": "agent"}), two.patch(f"/v1/agents/{ids[0]}", {"role": "agent"})
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert await node.fetchval("SELECT count(*) FROM agents WHERE role = 'admin'") == 1

    async def test_a_bot_stays_one(self, node: Node) -> None:
        admin = await node.admin()
        bot = await admin.made("/v1/agents", {"role": "bot", "name": "Helper"})
        answer = await admin.patch(f"/v1/agents/{bot['id']}", {"role": "admin", "password": PASSWORD})
        assert pointers(answer) == ["/body/role", "/body/password"]

    async def test_disabling_ends_sessions_for_good_and_suspends_tokens(self, node: Node) -> None:
        admin = await node.admin()
        bob = await admin.colleague("agent", "bob@example.com")
        script = User(node, (await bob.made("/v1/tokens", {"name": "script"}))["secret"])
        path = f"/v1/agents/{(await bob.me())['agent']['id']}"
        await script.me()
        assert (await admin.patch(path, {"disabled": True})).json()["disabled"]
        assert [(await user.get("/v1/me")).status_code for user in (bob, script)] == [401, 401]
        await admin.patch(path, {"disabled": False})
        assert [(await user.get("/v1/me")).status_code for user in (bob, script)] == [401, 200]

    async def test_a_new_password_from_an_admin_ends_the_sessions(self, node: Node) -> None:
        admin = await node.admin()
        bob = await admin.colleague("agent", "bob@example.com")
        path = f"/v1/agents/{(await bob.me())['agent']['id']}"
        assert (await admin.patch(path, {"password": "another password"})).status_code == 200
        assert (await bob.get("/v1/me")).status_code == 401
        assert (await attempt(node, "bob@example.com", PASSWORD)).status_code == 401
        await node.log_in("bob@example.com", "another password")

    async def test_change_their_own_password(self, node: Node) -> None:
        here = await node.admin()
        there = await node.log_in()
        body = {"current": WRONG, "new": "another password"}
        assert code(await here.post("/v1/me/password", body), 403) == "password_refused"
        assert (await here.post("/v1/me/password", {**body, "current": PASSWORD})).status_code == 204
        assert [(await user.get("/v1/me")).status_code for user in (here, there)] == [200, 401]
        await node.log_in(password="another password")
        scoped = await here.with_scopes("stream")
        assert code(await scoped.post("/v1/me/password", body), 403) == "forbidden"

    async def test_guessing_the_own_password_is_throttled_apart_from_the_log_in(self, database_url: str) -> None:
        async with serve(database_url, per_email_there=Allowance(2, 600)) as node:
            admin = await node.admin()
            body = {"current": WRONG, "new": "another password"}
            assert [(await admin.post("/v1/me/password", body)).status_code for _ in range(3)] == [403, 403, 429]
            await node.log_in()


class TestSecrecy:
    async def test_nothing_secret_in_answers_or_logs(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        admin = await node.admin()
        made = await admin.made("/v1/tokens", {"name": "x"})
        texts = [
            (await attempt(node, password="hunter2-hunter2")).text,
            (await admin.get("/v1/me")).text,
            (await admin.get("/v1/tokens")).text,
            (await admin.get("/v1/agents")).text,
            (
                await admin.post("/v1/agents", {"role": "agent", "name": 1, "email": 2, "password": "hunter2-hunter2"})
            ).text,
            (
                await admin.post("/v1/agents", {"role": "agent", "name": "x", "email": "a@b.c", "password": "hunter2"})
            ).text,
            caplog.text,
            repr(await principal(admin)),
        ]
        for text in texts:
            for secret in ("hunter2", PASSWORD, admin.token, made["secret"], "argon2"):
                assert secret not in text


async def test_the_throttle_counts_nothing_when_it_refuses(database_url: str) -> None:
    async with serve(database_url, per_email_there=Allowance(1, 600), per_address=Allowance(5, 600)) as node:
        await attempt(node)
        for _ in range(3):
            assert code(await attempt(node), 429) == TooManyLogIns.code
        assert await node.fetchval("SELECT level FROM login_throttle WHERE key LIKE 'address:%'") == 1
