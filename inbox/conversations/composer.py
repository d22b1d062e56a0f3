"""Whether a conversation can take a message now, and why not (row B4): one answer for who asks and for who refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from channels.capabilities import TemplateSource, WindowRule
from contacts.reach_rows import Reach
from inbox.conversations.window import sending_until

Reason = Literal[
    "channel_disabled", "channel_unauthorised", "contact_blocked", "unreachable", "opted_out", "window_closed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: Reason
    detail: str
    window_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the answer rests on. ``window``: the channel's rule, if it has one."""

    channel_state: str
    channel_health: str
    reach: Reach
    window: WindowRule | None
    window_opened_at: datetime | None
    window_closed_at: datetime | None
    templates: TemplateSource | None = None

    def refusal(
        self, now: datetime, *, purpose: str = "reply", template: bool = False, marketing: bool = False
    ) -> Refusal | None:
        """The first objection, for what does not pass by waiting. ``template``: it is made of templates only."""
        if self.channel_state != "enabled":
            return Refusal("channel_disabled", "this channel is disabled")
        if self.channel_health == "reauthorise":
            return Refusal("channel_unauthorised", "this channel has to be connected again first")
        if self.reach.blocked:
            return Refusal("contact_blocked", "this contact is blocked")
        if self.reach.unreachable is not None:
            return Refusal("unreachable", f"this contact cannot be reached: {self.reach.unreachable}")
        if marketing and self.reach.marketing_stopped:
            return Refusal("opted_out", "this person has stopped marketing messages")
        if self.window is None or (template and self.window.templates_outside):
            return None
        until = self.until(purpose)
        if until is not None and until > now:
            return None
        detail = "the messaging window is closed: the customer has to write first"
        return Refusal("window_closed", f"{detail}{self._way_out}", until)

    @property
    def _way_out(self) -> str:
        if not self.templates_outside:
            return ""
        if self.templates == "given":
            return ", or send a utility template with its components, as this channel does not list its templates"
        return ", or send a template"

    def until(self, purpose: str) -> datetime | None:
        """The end of the window for this purpose; ``None``: there is none, or it was never open."""
        if self.window is None:
            return None
        return sending_until(self.window, purpose, self.window_opened_at, self.window_closed_at)

    @property
    def templates_outside(self) -> bool:
        return self.window is not None and self.window.templates_outside


@dataclass(frozen=True, slots=True)
class ComposerView:
    """Whether free messages can be sent now; ``reason`` is for programs, ``detail`` for people.

    ``templates``: whether templates of the channel can. ``human_agent_until``: until when a person may still answer
    with the purpose `human_agent`, where the channel has such longer hours.
    """

    allowed: bool
    reason: Reason | None
    detail: str | None
    templates: bool
    human_agent_until: datetime | None


def composer_view(standing: Standing, now: datetime, *, templates: bool) -> ComposerView:
    """``templates``: the channel has them."""
    refusal = standing.refusal(now)
    longer = standing.window is not None and standing.window.human_agent_hours is not None
    return ComposerView(
        allowed=refusal is None,
        reason=None if refusal is None else refusal.reason,
        detail=None if refusal is None else refusal.detail,
        templates=templates and standing.refusal(now, template=True) is None,
        human_agent_until=standing.until("human_agent") if longer else None,
    )
