"""What happens by itself, in words: scheduled messages, sequences, bots, blocks. Pure.

Each function compares how something stands with how it was known before, and says what a person wants to read about
the change; nothing, where nobody needs to know. A line begins with the name of the contact.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from contacts.schemas import BlockView, ReachView
from inbox.demo.lines import Tone, quoted
from scheduler.scheduled.schemas import ScheduledView
from scheduler.sequences.schemas import EnrollmentView, StepView
from scheduler.workflows.schemas import RunView

Said = tuple[str, Tone]

WHY: Final = {
    "replied": "the customer wrote first",
    "reply": "the customer wrote",
    "blocked": "the contact is blocked",
    "block": "the contact is blocked",
    "unreachable": "the customer cannot be reached",
    "opted_out": "the customer wants no such messages",
    "opt_out": "the customer wants no such messages",
    "window_closed": "the messaging window is closed",
    "conversation_closed": "the conversation is closed",
    "closed": "the conversation was closed",
    "late": "its time was missed",
    "quiet_hours": "it waits for the end of the quiet hours",
    "business_hours": "it waits for business hours",
    "agent_reply": "a person wrote",
    "human_reply": "a person answered",
    "native_app": "somebody answered in the provider's app",
    "assigned": "it was assigned to somebody",
    "by_hand": "by hand",
    "by_bot": "the bot let go",
    "timed_out": "no answer in time",
}
STEP_SAID: Final[dict[str, Said]] = {
    "sent": ("is sent", "auto"),
    "uncertain": ("was sent, and nobody knows whether it arrived", "bad"),
    "failed": ("could not be sent", "bad"),
    "cancelled": ("was called back", "auto"),
    "skipped": ("is skipped", "auto"),
}


def why(reason: str) -> str:
    return WHY.get(reason, reason.replace("_", " "))


def clock(at: datetime, now: datetime) -> str:
    """On the wall clock of whoever reads, with the date where it is another day."""
    local = at.astimezone()
    time = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return time if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d} {time}"


# --- scheduled messages -----------------------------------------------------------------------------------------------


def scheduled_words(view: ScheduledView, before: ScheduledView | None, now: datetime) -> Said | None:
    words = quoted(view.preview)
    if view.uncertain and not (before is not None and before.uncertain):
        return f"sent as scheduled, and nobody knows whether it arrived: {words}", "bad"
    if before is not None and before.state == view.state:
        return _still_scheduled(view, before, now) if view.state == "scheduled" else None
    because = f" ({why(view.reason)})" if view.reason else ""
    match view.state:
        case "scheduled":
            return f"scheduled for {clock(view.due_at, now)} by {view.author.name}: {words}", "auto"
        case "due":
            return None  # what it became is a message of its own
        case "sent":
            return f"sent as scheduled: {words}", "auto"
        case "held":
            return f"held back{because}, for a person to decide: {words}", "auto"
        case "skipped":
            return f"left out{because}: {words}", "auto"
        case "cancelled":
            return f"not to be sent any more: {words}", "auto"
        case "failed":
            return f"could not be sent as scheduled{because}: {words}", "bad"


def _still_scheduled(view: ScheduledView, before: ScheduledView, now: datetime) -> Said | None:
    if view.occurrences != before.occurrences:
        return f"sent as scheduled, and again at {clock(view.due_at, now)}: {quoted(view.preview)}", "auto"
    if view.due_at != before.due_at:
        because = f" ({why(view.reason)})" if view.reason else ""
        return f"moved to {clock(view.due_at, now)}{because}: {quoted(view.preview)}", "auto"
    if view.content != before.content:
        return f"will say at {clock(view.due_at, now)}: {quoted(view.preview)}", "auto"
    return None


# --- sequences --------------------------------------------------------------------------------------------------------


def enrollment_words(view: EnrollmentView, before: EnrollmentView | None, now: datetime) -> list[Said]:
    """``before`` null: they were enrolled, or it is met here for the first time."""
    name = quoted(view.sequence_name)
    following = _following(view, now)
    if before is None and not view.steps:
        return [(f"in the sequence {name} from now on, by {view.enrolled_by.name}{following}", "auto")]
    told = {step.number: step.state for step in before.steps} if before is not None else {}
    news = [step for step in view.steps if step.state != told.get(step.number) and step.state in STEP_SAID]
    lines = [_step(name, step) for step in (news if before is not None else news[-1:])]
    if before is None or before.state != view.state:
        because = f" ({why(view.reason)})" if view.reason else ""
        match view.state:
            case "paused" | "stopped":
                lines.append((f"{name} is {view.state}{because}", "auto"))
            case "finished" | "left":
                lines.append((f"{name} is {'over' if view.state == 'finished' else 'left'}", "auto"))
            case "active" if before is not None:
                lines.append((f"{name} goes on{following}", "auto"))
                following = ""
            case "active":
                pass
    if lines and view.state == "active":
        text, tone = lines[-1]
        lines[-1] = f"{text}{following}", tone
    return lines


def _step(name: str, step: StepView) -> Said:
    words, tone = STEP_SAID[step.state]
    return f"{name}: the step “{step.step_key}” {words}{f' ({why(step.reason)})' if step.reason else ''}", tone


def _following(view: EnrollmentView, now: datetime) -> str:
    if view.next is None or view.next.due_at is None:
        return ""
    return f"; next is “{view.next.step_key}” at {clock(view.next.due_at, now)}"


# --- bots -------------------------------------------------------------------------------------------------------------


def run_words(run: RunView, before: RunView | None, bot: str) -> Said | None:
    if before is not None and (before.state, before.reason) == (run.state, run.reason):
        return None  # a new lease, or a later time by which to answer
    by = "somebody" if run.by is None else run.by.name or run.by.kind
    note = f": {quoted(run.note)}" if run.note else ""
    because = f" ({why(run.reason)})" if run.reason else ""
    match run.state, run.reason:
        case "active", "requested":
            return f"given to the bot {bot} by {by}{note}", "auto"
        case "active", "handed_back":
            return f"handed back to the bot {bot} by {by}{note}", "auto"
        case "active", _:
            return f"the bot {bot} {'goes on' if before is not None else 'answers here'}{note}", "auto"
        case "paused", _:
            return f"the bot {bot} is paused{because}{note}", "auto"
        case "handed_off", "by_bot":
            return f"the bot {bot} handed off to people{note}", "auto"
        case "handed_off", _:
            return f"people go on in place of the bot {bot}{because}{note}", "auto"
        case _:
            return f"the bot {bot} is done here{because}{note}", "auto"


# --- blocks -----------------------------------------------------------------------------------------------------------


def block_words(block: BlockView, by: str, now: datetime) -> Said:
    until = f" until {clock(block.until, now)}" if block.until is not None else ""
    because = f": {quoted(block.reason)}" if block.reason else ""
    return f"blocked{until} by {by}{because}", "auto"


def unblock_words(*, expired: bool, set_aside: int) -> Said:
    when = ", its time was over" if expired else ""
    aside = f"; {messages(set_aside)} set aside meanwhile" if set_aside else ""
    return f"not blocked any more{when}{aside}; what was held back stays so until somebody resumes it", "auto"


def messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def reach_words(reach: ReachView, before: ReachView | None) -> Said | None:
    unreachable = None if before is None else before.unreachable
    stopped = None if before is None else before.marketing_stopped_at
    if reach.unreachable != unreachable:
        where = f"on {reach.provider}"
        if reach.unreachable is None:
            return f"can be reached {where} again", "auto"
        return f"cannot be reached {where} any more ({why(reach.unreachable)})", "bad"
    if (reach.marketing_stopped_at is None) != (stopped is None):
        wants = "wants no marketing" if reach.marketing_stopped_at is not None else "takes marketing again"
        return f"{wants} on {reach.provider}", "auto"
    return None
