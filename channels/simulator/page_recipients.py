"""To whom a Page or Instagram account writes: a person, a checkbox, who commented, a subscriber (facts, 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from channels.simulator.graph_errors import GraphError, bad
from channels.simulator.meta_state import Comment
from channels.simulator.wire import as_object, as_text
from channels.simulator.world import DAY, Account, Customer, World
from channels.types import JsonObject


@dataclass(frozen=True, slots=True)
class Recipient:
    customer: Customer
    named: bool = True
    """The answer tells ``recipient_id``."""
    windowless: bool = False
    """Another permission than the messaging window lets this message through."""
    comment: Comment | None = None


def find_recipient(world: World, account: Account, fields: JsonObject) -> Recipient:
    recipient = as_object(fields.get("recipient"))
    if not recipient:
        raise bad("The parameter recipient is required")
    comment_id = as_text(recipient.get("comment_id")) or as_text(recipient.get("post_id"))
    if comment_id is not None:
        return _commenter(world, account, comment_id)
    if account.kind == "messenger" and (token := as_text(recipient.get("notification_messages_token"))) is not None:
        return _subscriber(account, token)
    if account.kind == "messenger" and (user_ref := as_text(recipient.get("user_ref"))) is not None:
        for customer in account.customers.values():
            if customer.user_ref == user_ref:
                return Recipient(customer, named=False, windowless=True)
        raise _nobody(account)
    found = account.customers.get(str(recipient.get("id", "")))
    if found is None:
        raise _nobody(account)
    return Recipient(found)


def _nobody(account: Account) -> GraphError:
    return bad("No matching user found", subcode=2018001 if account.kind == "messenger" else 2534014)


def _commenter(world: World, account: Account, comment_id: str) -> Recipient:
    """One private reply per comment, within seven days."""
    comment = account.comments.get(comment_id)
    if comment is None:
        raise bad("Invalid comment_id: the comment does not exist or was deleted")
    if comment.answered:
        raise GraphError(10900, "(#10900) Activity already replied to")
    if world.now() - comment.at > 7 * DAY:
        raise GraphError(10903, "(#10903) This user can't reply to this activity")
    return Recipient(account.customers[comment.customer_id], windowless=True, comment=comment)


def _subscriber(account: Account, token: str) -> Recipient:
    customer = account.find_customer(token)
    if customer is None:
        raise bad("Invalid notification_messages_token")
    if customer.marketing_stopped:
        raise GraphError(10, "(#10) The person has opted out of receiving marketing messages", subcode=1893015)
    return Recipient(customer, windowless=True)
