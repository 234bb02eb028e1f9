"""Every position of a run and everything that can happen to it give one transition, without a database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from models import ActorKind, ResourceStatus, RunErrorCode, RunKind, RunStatus, StepRole, StepStatus, TenantState
from provisioning import transitions
from provisioning.actors import Actor
from provisioning.decisions import next_move
from provisioning.event_types import EventType
from provisioning.moves import Backward, Forward
from provisioning.position import Position, ResourceValues, RunValues, StepValues, TenantValues
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StopReason
from provisioning.step_endings import Failure
from provisioning.transition import Transition
from provisioning.transitions import Lease

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BEFORE, LATER = NOW - timedelta(seconds=10), NOW + timedelta(seconds=10)
OPERATOR = Actor(ActorKind.USER, UUID(int=7), "Olga Operator")
LEASE = Lease(UUID(int=2), "worker", timedelta(seconds=15))
ROLES = {
    "first": StepRole.STEP,
    "second": StepRole.STEP,
    "pivot": StepRole.PIVOT,
    "mail": StepRole.AFTERWARDS,
    "check": StepRole.CONFIRMATION,
}
LETTERS = {
    "W": StepStatus.WAITING,
    "R": StepStatus.RUNNING,
    "D": StepStatus.DONE,
    "F": StepStatus.FAILED,
    "I": StepStatus.INTERRUPTED,
    "C": StepStatus.COMPENSATING,
    "U": StepStatus.COMPENSATED,
    "X": StepStatus.COMPENSATION_FAILED,
    "A": StepStatus.ABANDONED,
}
TENANT = TenantValues(
    UUID(int=3), UUID(int=4), "acme", "shop", "Shop", "eu-1", "starter", "a@b.example", "shop-acme",
    TenantState.PROVISIONING, 2,
)  # fmt: skip


def position(status: str, steps: str, held: str = "", **run: Any) -> Position:
    """A position with these statuses of the steps, one letter each, and the resources of the steps in ``held``."""
    state = {"SUCCEEDED": TenantState.ACTIVE, "CANCELLED": TenantState.PENDING}.get(status, TenantState.PROVISIONING)
    values = {name: step(number, name, letter) for number, (name, letter) in enumerate(zip(ROLES, steps, strict=True))}
    cancelled: dict[str, Any] = {
        "cancel_requested_at": BEFORE,
        "cancel_actor_kind": ActorKind.USER,
        "cancel_actor_id": UUID(int=7),
    }
    asked = {**cancelled, "cancel_actor_name": "Olga Operator"} if status in {"CANCELLING", "CANCELLED"} else {}
    return Position(
        revision="1",
        now=NOW,
        jitter=1.0,
        run=run_of(RunStatus(status), **{"due_at": BEFORE, **asked, **run}),
        steps=MappingProxyType(values),
        tenant=TENANT._replace(state=state),
        names=ResourceNames(TENANT.id, TENANT.address, 1),
        resources=tuple(
            ResourceValues(UUID(int=10 + number), name, "disk", f"disk of {name}", ResourceStatus.HELD)
            for number, name in enumerate(held.split())
        ),
        left_behind=(),
    )


def run_of(status: RunStatus, **values: Any) -> RunValues:
    nothing: dict[str, Any] = dict.fromkeys(RunValues._fields)
    known: dict[str, Any] = {
        "id": UUID(int=1),
        "number": 1,
        "kind": RunKind.PROVISION,
        "status": status,
        "created_at": BEFORE,
    }
    return RunValues(**{**nothing, **known, **values})


def step(number: int, name: str, letter: str) -> StepValues:
    nothing: dict[str, Any] = dict.fromkeys(StepValues._fields)
    counts: dict[str, Any] = {
        "attempts": int(letter != "W"),
        "compensation_attempts": int(letter in "CUX"),
        "parts_done": 0,
    }
    known: dict[str, Any] = {
        "position": number,
        "name": name,
        "title": name.capitalize(),
        "role": ROLES[name],
        "status": LETTERS[letter],
        "interruptible": True,
        "timeout": timedelta(minutes=5),
        "max_attempts": 3,
        "max_compensation_attempts": 3,
        "lost_workers": 0,
        "attempt_started_at": BEFORE if letter in "RC" else None,
        "started_at": BEFORE if letter != "W" else None,
    }
    return StepValues(**{**nothing, **counts, **known})


def changed(position: Position, name: str, **values: Any) -> Position:
    """The position with other values of one step."""
    steps = {**position.steps, name: position.steps[name]._replace(**values)}
    return position._replace(steps=MappingProxyType(steps))


OWNED: dict[str, Any] = {"lease_token": UUID(int=1), "lease_until": LATER, "lease_owner": "worker", "due_at": LATER}


def waiting_of_a_lost_worker(status: str, letters: str, held: str, *, lost_workers: int) -> Position:
    """The second step waits and was kept by a worker. Its lease has lapsed."""
    lapsed = {**OWNED, "lease_until": BEFORE, "due_at": BEFORE}
    waits = {"next_attempt_at": BEFORE, "lost_workers": lost_workers}
    return changed(position(status, letters, held, **lapsed), "second", **waits)


POSITIONS: Mapping[str, Position] = {
    "queued": position("QUEUED", "WWWWW"),
    "between two steps": position("RUNNING", "DWWWW", "first"),
    "performing": position("RUNNING", "DRWWW", "first", **OWNED),
    "polling": changed(position("RUNNING", "DRWWW", "first", due_at=LATER), "second", next_attempt_at=LATER),
    "poll due": changed(position("RUNNING", "DRWWW", "first"), "second", next_attempt_at=BEFORE),
    "backing off": changed(
        position("RUNNING", "DRWWW", "first", due_at=LATER), "second", attempt_started_at=None, next_attempt_at=LATER
    ),
    "worker lost": position("RUNNING", "DRWWW", "first", **{**OWNED, "lease_until": BEFORE, "due_at": BEFORE}),
    "last worker lost": changed(
        position("RUNNING", "DRWWW", "first", **{**OWNED, "lease_until": BEFORE, "due_at": BEFORE}),
        "second",
        attempts=3,
    ),
    "worker lost again": changed(
        position("RUNNING", "DRWWW", "first", **{**OWNED, "lease_until": BEFORE, "due_at": BEFORE}),
        "second",
        attempts=2,
        lost_workers=1,
    ),
    "worker of a wait lost": waiting_of_a_lost_worker("RUNNING", "DRWWW", "first", lost_workers=0),
    "worker of a wait lost again": waiting_of_a_lost_worker("RUNNING", "DRWWW", "first", lost_workers=1),
    "last worker of a wait lost": waiting_of_a_lost_worker("RUNNING", "DRWWW", "first", lost_workers=2),
    "at the pivot": position("RUNNING", "DDRWW", "first second", **OWNED),
    "cancelled in flight": position("CANCELLING", "DRWWW", "first", **OWNED),
    "cancelled at the pivot": position("CANCELLING", "DDRWW", "first second", **OWNED),
    "undo due": position("CANCELLING", "DIWWW", "first second"),
    "undoing": position("CANCELLING", "DCWWW", "first second", **OWNED),
    "undoing the first step": position("CANCELLING", "CUWWW", "first", **OWNED),
    "worker lost in an undo": position(
        "CANCELLING", "DCWWW", "first second", **{**OWNED, "lease_until": BEFORE, "due_at": BEFORE}
    ),
    "worker lost again in an undo": changed(
        position("CANCELLING", "DCWWW", "first second", **{**OWNED, "lease_until": BEFORE, "due_at": BEFORE}),
        "second",
        lost_workers=1,
    ),
    "poll kept": changed(position("RUNNING", "DRWWW", "first", **OWNED), "second", next_attempt_at=BEFORE),
    "worker of a waiting undo lost again": waiting_of_a_lost_worker(
        "CANCELLING", "DCWWW", "first second", lost_workers=1
    ),
    "last worker of a waiting undo lost": waiting_of_a_lost_worker(
        "CANCELLING", "DCWWW", "first second", lost_workers=7
    ),
    "undo polling": changed(
        position("CANCELLING", "DCWWW", "first second", due_at=LATER), "second", next_attempt_at=LATER
    ),
    "failed": position("COMPENSATING", "DFWWW", "first", failed_step="second", error="Full."),
    "undoing a failure": position("COMPENSATING", "DCWWW", "first second", failed_step="second", **OWNED),
    "stuck": position("STUCK", "DXWWW", "first second", due_at=None, failed_step="second"),
    "undone but held": position("CANCELLING", "UUWWW", "first"),
    "succeeded": position("SUCCEEDED", "DDDWW", "first", finished_at=BEFORE),
    "mailing": position("SUCCEEDED", "DDDRW", "first", finished_at=BEFORE, **OWNED),
    "cancelled": position("CANCELLED", "UUWWW", finished_at=BEFORE),
    "checking": position("CANCELLED", "UUWWR", finished_at=BEFORE, **OWNED),
    "mails sent": position("SUCCEEDED", "DDDDW", "first", finished_at=BEFORE, due_at=None),
    "over": position("CANCELLED", "UUWWD", finished_at=BEFORE, due_at=None),
}


def move_of(position: Position) -> Forward | Backward:
    """The move that the owner of the run performs, or else the next one."""
    if position.run.owned:
        return transitions.owned_move(position)
    move = next_move(position.run, position.steps.values())
    return move if isinstance(move, Forward | Backward) else Forward("first")


def failure(**values: Any) -> Failure:
    known: dict[str, Any] = {"error": "No disk.", "code": RunErrorCode.ATTEMPTS_EXHAUSTED}
    return Failure(**(known | values))


def failed(position: Position, **values: Any) -> Transition:
    return transitions.step_failed(position, move_of(position), failure(**values), starts_attempt=True)


INPUTS: Mapping[str, Callable[[Position], Transition | None]] = {
    "claim": lambda it: transitions.claim(it, move_of(it), LEASE, [("disk", "new disk")]),
    "claim of another move": lambda it: transitions.claim(it, Backward("pivot"), LEASE),
    "claim again": lambda it: transitions.claim_again(it, move_of(it), LEASE),
    "succeeded": lambda it: transitions.step_succeeded(it, move_of(it)),
    "succeeded and kept": lambda it: transitions.step_succeeded(it, move_of(it), LEASE),
    "waits": lambda it: transitions.step_waits(it, move_of(it), timedelta(seconds=2)),
    "waits and is kept": lambda it: transitions.step_waits(it, move_of(it), timedelta(seconds=2), kept=True),
    "a part is done": lambda it: transitions.part_done(it, move_of(it), 1),
    "a part is done and kept": lambda it: transitions.part_done(it, move_of(it), 1, LEASE),
    "failed": failed,
    "refused": lambda it: failed(it, final=True),
    "scarce": lambda it: failed(it, scarce=True),
    "shut down": lambda it: failed(it, stopped=StopReason.SHUTTING_DOWN),
    "lease lost": lambda it: failed(it, stopped=StopReason.LEASE_LOST),
    "cancel requested": lambda it: transitions.cancel_requested(it, OPERATOR, "wrong plan"),
    "one of many cancelled": lambda it: transitions.cancel_requested(
        it, OPERATOR, "wrong plan", leave_undo_to_workers=True
    ),
    "resumed": lambda it: transitions.compensation_resumed(it, [], OPERATOR, None),
    "resumed without the step": lambda it: transitions.compensation_resumed(it, ["second"], OPERATOR, "by hand"),
    "due": transitions.due_without_owner,
    "mails requested": lambda it: transitions.follow_up_requested(
        it, StepRole.AFTERWARDS, EventType.WELCOME_EMAIL_REQUESTED, OPERATOR
    ),
}

OF_AN_OWNER = {
    "claim again",
    "succeeded",
    "succeeded and kept",
    "waits",
    "waits and is kept",
    "a part is done",
    "a part is done and kept",
    "failed",
    "refused",
    "scarce",
    "shut down",
    "lease lost",
}


def unreachable(position: Position, happened: str) -> str | None:
    """Why this cannot happen in this position."""
    run = position.run
    if happened in OF_AN_OWNER and not run.owned:
        return "no worker owns the run, so its token is not in the row"
    if happened in {"cancel requested", "one of many cancelled"} and (run.finished_at or run.cancel_requested):
        return "refused, or already requested"
    if happened.startswith("resumed") and run.status is not RunStatus.STUCK:
        return "refused: the run is not STUCK"
    if happened == "mails requested" and (run.status is not RunStatus.SUCCEEDED or run.due_at):
        return "refused: the tenant is not ACTIVE, or the mails are still being sent"
    return None


def line_of(position: Position, transition: Transition | None) -> str:
    """A transition in one line: statuses, when it is due, what follows, the ledger, the events."""
    if transition is None:
        return "nothing"
    after = transition.position
    letters = {status: letter for letter, status in LETTERS.items()}
    steps = "".join(letters[step.status] for step in after.steps.values())
    due = after.run.due_at
    when = "rests" if due is None else "due" if due <= NOW else f"in {(due - NOW).total_seconds():g} s"
    owned = " owned" if after.run.owned else ""
    follows = f", wakes {transition.wake_up}" if transition.wake_up else ""
    follows += f", claimed {transition.claimed}" if transition.claimed else ""
    follows += ", tells the owner" if transition.interrupts_owner else ""
    tenant = f", tenant {transition.tenant['state']}" if "state" in transition.tenant else ""
    ledger = "".join(f", {change['status']}" for change in transition.ledger.values())
    ledger += ", INTENDED" * len(transition.intended)
    events = "".join(f" +{event.type.rpartition('.')[2]}" for event in transition.events)
    return f"{after.run.status} {steps} {when}{owned}{follows}{tenant}{ledger}{events}"


EXPECTED = Path(__file__).with_name("transitions.txt")


def test_every_position_and_input_give_the_transition_of_the_table() -> None:
    """The table has a line for each pair, except for pairs that ``unreachable`` gives a reason for."""
    lines = []
    for name, position in POSITIONS.items():
        lines.append(name)
        for happened, apply in INPUTS.items():
            if unreachable(position, happened) is None:
                lines.append(f"  {happened}: {line_of(position, apply(position))}")

    assert lines == EXPECTED.read_text().splitlines()


def test_every_input_is_reachable_and_every_reason_is_used() -> None:
    pairs = {(name, happened): unreachable(POSITIONS[name], happened) for name in POSITIONS for happened in INPUTS}

    assert {happened for (_, happened), reason in pairs.items() if reason is None} == set(INPUTS)
    assert len({reason for reason in pairs.values() if reason}) == 4


@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("happened", INPUTS)
def test_a_transition_changes_no_given_position_and_says_what_it_changes(name: str, happened: str) -> None:
    before = POSITIONS[name]
    if unreachable(before, happened) is not None:
        return
    copy = before._replace()

    transition = INPUTS[happened](before)

    assert before == copy
    if transition is not None:
        after = transition.position
        assert all(getattr(after.run, column) == value for column, value in transition.run.items())
        unchanged = set(RunValues._fields) - set(transition.run)
        assert all(getattr(after.run, column) == getattr(before.run, column) for column in unchanged)


@pytest.mark.parametrize(("left", "is_kept"), [(0.76, True), (0.74, False)])
def test_a_kept_run_keeps_the_end_of_its_lease_while_most_of_it_is_left(left: float, is_kept: bool) -> None:  # noqa: FBT001  # a column of the table
    until = NOW + LEASE.length * left
    before = position("RUNNING", "RWWWW", **{**OWNED, "lease_until": until, "due_at": until})

    run = transitions.step_succeeded(before, Forward("first"), LEASE).position.run

    assert run.lease_token == LEASE.token
    assert run.lease_until == run.due_at == (until if is_kept else NOW + LEASE.length)
