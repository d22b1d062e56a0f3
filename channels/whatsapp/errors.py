"""WhatsApp's error codes as facts; they come in an answer, in ``statuses[].errors`` and in ``value.errors`` alike.

Source: channel facts, section 1.6. Codes that mean the same for all of Meta are in ``channels.meta.faults``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from channels.meta.faults import PARAMETER_INVALID, PERMISSION_MISSING, TEMPORARY, THROTTLED, FaultTable
from channels.meta.graph import fault_of, read_error_object
from channels.types import Fault, JsonValue
from channels.wire import objects

_GROUP: Final = Fault("recipient_unavailable", "WhatsApp does not let this number write to the group.")


def _template(reason: str) -> Fault:
    return Fault("template_invalid", reason)


def _parameter(reason: str) -> Fault:
    return replace(PARAMETER_INVALID, reason=reason)


FAULTS: Final[FaultTable] = {
    0: Fault(
        "token_invalid",
        "The access token of the connected number is not valid.",
        pauses="channel",
        reauthorise=True,
    ),
    131005: PERMISSION_MISSING,
    # Rates.
    130429: replace(THROTTLED, reason="The number sends more messages a second than WhatsApp allows it."),
    # It is lifted by itself, but not soon: trying every minute would only confirm the judgement.
    131048: replace(
        THROTTLED,
        reason="WhatsApp limits the number because people blocked or reported its messages.",
        retry_after=3600.0,
    ),
    131056: Fault(
        "rate_limited",
        "Too many messages went to this person in a short time.",
        retryable=True,
        pauses="recipient",
    ),
    131064: THROTTLED,
    133016: THROTTLED,
    # Passing troubles.
    131000: TEMPORARY,
    131016: TEMPORARY,
    133004: TEMPORARY,
    131057: Fault(
        "temporary",
        "WhatsApp is doing maintenance on the number.",
        retryable=True,
        retry_after=60.0,
        pauses="channel",
    ),
    # The person.
    131047: Fault(
        "window_closed",
        "More than 24 hours have passed since the person wrote; only a template may be sent.",
        closes_window=True,
    ),
    131026: Fault(
        "recipient_unavailable",
        "WhatsApp cannot deliver to this person: not on WhatsApp, an old app, terms not accepted, or we are blocked.",
        ends_contact="unreachable",
    ),
    131021: Fault("recipient_unavailable", "The recipient is the sending number itself."),
    131030: Fault("recipient_unavailable", "The test number may only write to the numbers on its list."),
    131050: Fault("opted_out", "The person has stopped marketing messages of this number.", ends_contact="opted_out"),
    131049: Fault(
        "held_back",
        "WhatsApp kept this marketing message back to spare the person; try no sooner than in a day.",
        retry_after=86_400.0,
    ),
    130472: Fault("held_back", "WhatsApp kept this marketing message back as part of an experiment."),
    137000: Fault("identity_mismatch", "The person's identity key has changed and was not confirmed."),
    # The account.
    130497: Fault("policy", "WhatsApp does not let this account write to people in that country."),
    131031: Fault("policy", "WhatsApp has locked the account.", pauses="channel", troubles="restriction"),
    131037: Fault(
        "billing", "The display name of the number has to be approved by Meta first.", troubles="restriction"
    ),
    131042: Fault(
        "billing",
        "WhatsApp does not deliver because of a problem with the payment: see in Meta's billing settings whether the "
        "account has a valid payment method.",
        troubles="billing",
    ),
    131045: Fault(
        "billing", "The number is not registered properly with WhatsApp.", pauses="channel", troubles="restriction"
    ),
    2200: Fault(
        "parameter_invalid",
        "Meta could not verify our webhook address: it has to answer from the internet, over HTTPS, with a certificate "
        "that is publicly trusted.",
    ),
    # Blocking people.
    139100: Fault(
        "recipient_unavailable",
        "WhatsApp did not change the block of this person; only who wrote within the last 24 hours can be blocked.",
    ),
    139101: Fault("policy", "The block list of the number is full; unblock somebody first."),
    139102: Fault("temporary", "WhatsApp is still changing the block list of the number.", retryable=True),
    139103: TEMPORARY,
    # The content.
    131052: Fault("media_refused", "WhatsApp could not download the file that the person sent."),
    131053: Fault("media_refused", "WhatsApp could not take or fetch the file.", retryable=True),
    131008: _parameter("A required parameter is missing."),
    131009: _parameter("A parameter has a value that WhatsApp does not take."),
    131051: _parameter("WhatsApp does not support this kind of message."),
    131062: _parameter("This message needs the person's phone number; an id of theirs does not do."),
    131063: PARAMETER_INVALID,
    134011: PARAMETER_INVALID,
    135000: PARAMETER_INVALID,
    132000: _template("The number of values does not fit the template."),
    132001: _template("The template does not exist in this language, or is not approved."),
    132005: _template("The template becomes too long with these values."),
    132007: _template("The template's content breaks a WhatsApp policy."),
    132008: _template("A value does not fit the template."),
    132012: _template("A value has the wrong format for the template."),
    132015: _template("WhatsApp has paused the template because of low quality."),
    132016: _template("WhatsApp has disabled the template for good."),
    132068: _template("The template's flow is blocked."),
    132069: _template("The template's flow is throttled."),
    # Groups.
    131020: _GROUP,
    131041: _GROUP,
    **dict.fromkeys(range(131200, 131300), _GROUP),
}


def fault_of_webhook(errors: JsonValue) -> Fault:
    """The fault of a failed status or message: its first error, since WhatsApp names the cause first."""
    first = next(iter(objects(errors)), None)
    return fault_of(read_error_object(first or {}), FAULTS)
