"""What the API description says about agents, connections and contacts."""

from typing import Any
from unittest.mock import create_autospec

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from contacts.routes import Caller, ContactRoutes
from contacts.service import Contacts
from inbox.agents.principal import Principal
from inbox.agents.routes import AgentRoutes, SessionRoutes, TokenRoutes
from inbox.agents.service import Agents
from inbox.agents.sessions import Sessions
from inbox.agents.tokens import Tickets, Tokens
from inbox.agents.workspaces import Workspaces
from inbox.connections.apps import ProviderApps
from inbox.connections.connecting import Connecting
from inbox.connections.routes import ChannelRoutes, ProviderAppRoutes
from inbox.connections.service import Channels
from inbox.kernel.openapi import BEARER, describe

Json = dict[str, Any]
METHODS = ("get", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document() -> Json:
    groups = [
        SessionRoutes(create_autospec(Sessions), create_autospec(Agents), create_autospec(Workspaces)),
        TokenRoutes(create_autospec(Tokens), create_autospec(Tickets)),
        AgentRoutes(create_autospec(Agents)),
        ProviderAppRoutes(create_autospec(ProviderApps)),
        ChannelRoutes(create_autospec(Channels), create_autospec(Connecting)),
        ContactRoutes(create_autospec(Contacts)),
    ]
    return describe(groups, title="x", version="1", security={Principal: BEARER, Caller: BEARER})


def test_is_valid(document: Json) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_only_logging_in_needs_no_token(document: Json) -> None:
    free = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if "security" not in operation
    ]
    assert free == ["session.log_in"]


def test_capabilities_are_typed(document: Json) -> None:
    answer = document["paths"]["/v1/channels/{channel_id}/capabilities"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Capabilities"}
    schema = document["components"]["schemas"]["Capabilities"]
    assert schema["properties"]["text"] == {"$ref": "#/components/schemas/TextLimit"}


def test_no_answer_has_a_password_or_a_stored_credential(document: Json) -> None:
    schemas = document["components"]["schemas"]
    views = [name for name in schemas if name.endswith(("View", "Page", "Created", "Out", "Me"))]
    assert len(views) >= 10
    shown = {name: set(schemas[name].get("properties", {})) for name in views}
    credentials = {
        "password",
        "password_hash",
        "digest",
        "token",
        "secret",
        "secrets",
        "signing_secrets",
        "endpoint_key",
    }
    # These two are the one time a new token is shown.
    shown["SessionOut"].remove("token")
    shown["TokenCreated"] -= {"secret", "token"}
    assert {name: found & credentials for name, found in shown.items() if found & credentials} == {}


def test_secrets_that_are_sent_are_marked(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for model, field in (("LogIn", "password"), ("PersonIn", "password"), ("ChannelIn", "token")):
        assert schemas[model]["properties"][field]["writeOnly"] is True
