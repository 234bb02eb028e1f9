"""How a run ends, with its tenant."""

from datetime import timedelta

from models import ResourceStatus, RunStatus, TenantState
from provisioning import lifecycle
from provisioning.actors import PLATFORM, Actor
from provisioning.event_types import EventType
from provisioning.position import MAY_BE_HELD, RunValues
from provisioning.transition import Draft, milliseconds

RETRY_ENDING_AFTER = timedelta(minutes=1)
"""When a run that could not end, because it still holds resources, is tried again."""


def end(draft: Draft, status: RunStatus) -> None:
    """End the run, and change the tenant with it. A run that still holds resources does not end: it is tried again."""
    run = draft.run
    held = [resource for resource in draft.resources if resource.status in MAY_BE_HELD]
    if status is not RunStatus.SUCCEEDED and held:
        draft.change_run(due_at=draft.now + RETRY_ENDING_AFTER)
        return
    draft.change_run(status=status, finished_at=draft.now, due_at=draft.now)
    facts: dict[str, object]
    match status:
        case RunStatus.SUCCEEDED:
            _change_state(draft, TenantState.ACTIVE)
            facts = {"resources": [resource.as_fact for resource in held]}
            draft.emit(EventType.COMPLETED, {**facts, **_duration(draft)})
        case RunStatus.CANCELLED:
            facts = {"run_number": run.number, "reason": run.cancel_reason, "cancelled_by": run.cancel_actor_name}
            _end_undone(draft, TenantState.PENDING, EventType.CANCELLED, facts, by=_canceller(run))
        case RunStatus.FAILED:
            facts = {"failed_step": run.failed_step, "error": run.error}
            _end_undone(draft, TenantState.FAILED, EventType.FAILED, facts)
        case RunStatus.DECOMMISSIONED:
            facts = {"run_number": run.number}
            _end_undone(draft, TenantState.DECOMMISSIONED, EventType.DEPROVISIONING_COMPLETED, facts)
        case _:
            raise ValueError(f"{status} is not a final status")


def _end_undone(
    draft: Draft, state: TenantState, event_type: EventType, facts: dict[str, object], by: Actor = PLATFORM
) -> None:
    _change_state(draft, state)
    released = [resource.as_fact for resource in draft.resources if resource.status is ResourceStatus.RELEASED]
    became = {"released": released, "abandoned": list(draft.left_behind)}
    draft.emit(event_type, {**facts, **became, **_duration(draft)}, by)


def _change_state(draft: Draft, to: TenantState) -> None:
    tenant = draft.before.tenant
    lifecycle.require_transition(tenant.state, to)
    draft.change_tenant(state=to, version=tenant.version + 1, updated_at=draft.now)


def _canceller(run: RunValues) -> Actor:
    """The actor of the end of a cancelled run: the one that requested the cancel."""
    assert run.cancel_actor_kind, "a cancelled run has the actor of its cancel"
    assert run.cancel_actor_id, "a cancelled run has the actor of its cancel"
    assert run.cancel_actor_name, "a cancelled run has the actor of its cancel"
    return Actor(run.cancel_actor_kind, run.cancel_actor_id, run.cancel_actor_name)


def _duration(draft: Draft) -> dict[str, object]:
    return {"total_duration_ms": milliseconds(draft.run.created_at, draft.now)}
