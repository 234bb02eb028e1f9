"""The enums of the GraphQL schema, with a description of every value."""

from enum import StrEnum
from typing import Any

import strawberry

from access.permissions import ACTIONS, TenantAction
from models import ActorKind, ResourceStatus, Role, RunErrorCode, RunKind, RunStatus, StepStatus, TenantState
from schema.described import description_of


class ProvisioningEventKind(StrEnum):
    """What happened, in an entry of a timeline."""

    RUN_STARTED = "RUN_STARTED"
    STEP_STARTED = "STEP_STARTED"
    STEP_SUCCEEDED = "STEP_SUCCEEDED"
    STEP_FAILED = "STEP_FAILED"
    STEP_INTERRUPTED = "STEP_INTERRUPTED"
    STEP_PROGRESS = "STEP_PROGRESS"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    COMPENSATION_STARTED = "COMPENSATION_STARTED"
    STEP_COMPENSATED = "STEP_COMPENSATED"
    COMPENSATION_DELAYED = "COMPENSATION_DELAYED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    COMPENSATION_RESUMED = "COMPENSATION_RESUMED"
    RUN_STUCK = "RUN_STUCK"
    RUN_FINISHED = "RUN_FINISHED"


class TenantOrderField(StrEnum):
    """Values by which tenants can be sorted."""

    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"
    SLUG = "SLUG"


class OrderDirection(StrEnum):
    """Which end of the order comes first."""

    ASC = "ASC"
    DESC = "DESC"


class UserErrorCode(StrEnum):
    """Reasons why a mutation is refused. New ones may be added."""

    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    INVALID = "INVALID"
    TAKEN = "TAKEN"
    INVALID_STATE = "INVALID_STATE"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    STALE_RUN = "STALE_RUN"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    NOT_CONFIRMED = "NOT_CONFIRMED"
    TOO_SOON = "TOO_SOON"


def _publish(options: type[StrEnum], description: str, called: str | None = None, **descriptions: str) -> None:
    """Publish an enum in the GraphQL schema. ``descriptions`` has one for each value, no more and no less."""
    strawberry.enum(options, name=called, description=description)
    definition: Any = vars(options)["__strawberry_definition__"]
    for value in definition.values:
        value.description = descriptions.pop(value.name)
    assert not descriptions, f"{options.__name__} has no {', '.join(descriptions)}"


_publish(
    TenantState,
    "Where a tenant is in its lifecycle.",
    PENDING="Holds no resources: no run has started, or the last one was cancelled and undone. abandonedResources has "
    "what an operator left behind in an undo. retryProvisioning starts a run.",
    PROVISIONING="A provisioning run is under way, or its undo is. ACTIVE, PENDING or FAILED follows.",
    ACTIVE="The tenant is live and its address serves it.",
    FAILED="The last run failed and was undone: the tenant holds no resources. abandonedResources has what an operator "
    "left behind in an undo. Correct the cause, then call retryProvisioning.",
    SUSPENDED="The tenant keeps its resources, but its address answers 503. resumeTenant makes it ACTIVE again.",
    DECOMMISSIONING="A run is releasing the resources. DECOMMISSIONED follows.",
    DECOMMISSIONED="Everything was released, except abandonedResources. Final. The organisation can use the slug "
    "again, also with recreateTenant. No other one gets the address for a year, unless the tenant was never ACTIVE.",
)

_publish(
    TenantAction,
    "What the caller may do with a tenant now: the buttons that a page should offer.",
    **{action.name: rule.description for action, rule in ACTIONS.items()},
)

_publish(
    RunStatus,
    "Progress of a run.",
    QUEUED="No worker has begun the first step yet.",
    RUNNING="A step is performed, waits for its next attempt or is about to begin.",
    CANCELLING="A cancel is recorded: the current step stops, then the steps are undone from the last to the first. "
    "CANCELLED or STUCK follows.",
    COMPENSATING="The steps are undone from the last to the first, because one failed for good. A decommissioning run "
    "begins here.",
    STUCK="A compensation failed for good, so resources are still held. The run waits for resumeCompensation.",
    SUCCEEDED="The tenant is live. Final.",
    CANCELLED="Undone because of a cancel, except abandonedResources; the tenant is PENDING. Final.",
    FAILED="Undone because a step failed, except abandonedResources; the tenant is FAILED. Final.",
    DECOMMISSIONED="Everything was released, except abandonedResources; the tenant is DECOMMISSIONED. Final.",
)

_publish(
    RunErrorCode,
    "Why a step failed for good, so that its run is undone. New ones may be added.",
    REFUSED="An external system or a rule of the product refused it. A retry is refused too until the cause is "
    "corrected.",
    ATTEMPTS_EXHAUSTED="Its last attempt failed. A retry may succeed.",
    TIMED_OUT="Its last attempt took longer than it may. A retry may succeed.",
    WORKER_LOST="The worker that performed it was lost in each attempt.",
)

_publish(
    RunKind,
    "Which way a run goes.",
    PROVISION="Create the resources and make the tenant ACTIVE.",
    DECOMMISSION="Release the resources that the tenant's last successful run created. It cannot be cancelled.",
)

_publish(
    StepStatus,
    "Progress of a step in a run.",
    WAITING="The step has not begun.",
    RUNNING="A worker performs it, or it waits for its next attempt or poll.",
    DONE="The step has succeeded, and holds its resources.",
    FAILED="It used up its attempts or was refused for good. What it may have created is undone.",
    INTERRUPTED="A cancel stopped it, or its worker was lost during one. What it may have created is undone.",
    COMPENSATING="It is being undone, or its undo waits for the next attempt or poll.",
    COMPENSATED="It was undone, and the resources that it took, if any, are confirmed absent.",
    COMPENSATION_FAILED="Its undo used up its attempts or its time, or was refused for good: the run is STUCK.",
    ABANDONED="An operator skipped its undo with resumeCompensation. Its resources may still exist.",
)

_publish(
    ResourceStatus,
    "Whether a resource of the ledger exists.",
    INTENDED="The step is about to create it, or may have created it. It counts as held.",
    HELD="The step that creates it is done.",
    RELEASED="It was released and is confirmed absent.",
    ABANDONED="An operator skipped its release: it may still exist. abandonedBy, abandonedAt and abandonedReason say "
    "who, when and why.",
)

_publish(
    ProvisioningEventKind,
    description_of(ProvisioningEventKind),
    RUN_STARTED="A mutation started the run: its first entry.",
    STEP_STARTED="An attempt of a step began. A retried step has one entry for each attempt.",
    STEP_SUCCEEDED="A step was done; its resources are HELD.",
    STEP_FAILED="An attempt of a step failed. It is retried, or the run is undone.",
    STEP_INTERRUPTED="A step was stopped by a cancel, or its worker was lost during one. Its undo follows.",
    STEP_PROGRESS="A step reported its progress, or is still running without a report. Delivered at most four times a "
    "second by tenantProvisioning, and not stored in the audit feed.",
    CANCEL_REQUESTED="A cancel of the run was recorded. The undo follows.",
    COMPENSATION_STARTED="The undo of a step began; there is no further entry when it is retried.",
    STEP_COMPENSATED="A step was undone, and the resources that it took, if any, are confirmed absent.",
    COMPENSATION_DELAYED="The undo of a step takes longer than usual. It continues; an operator should look at it.",
    COMPENSATION_FAILED="An attempt to undo a step failed. It is retried, or RUN_STUCK follows.",
    COMPENSATION_RESUMED="An operator resumed the stuck run with resumeCompensation.",
    RUN_STUCK="The undo of a step failed for good: an operator has to call resumeCompensation.",
    RUN_FINISHED="The run reached its final status. No further entry of this run follows.",
)

_publish(
    ActorKind,
    "Who performed an action.",
    USER="A person who is a member of the organisation.",
    INTEGRATION="A partner's program, which has a service account.",
    SUPPORT="A support engineer of the platform, who belongs to no organisation.",
    SYSTEM="The platform itself, for what no caller requested.",
)

_publish(
    Role,
    "What a person may do in an organisation.",
    called="MemberRole",
    OWNER="Everything in the organisation, and transferring its ownership. There is exactly one owner.",
    ADMIN="Everything, except removing the owner or changing the owner's role.",
    VIEWER="Read tenants, their first administrators, runs and the audit feed.",
)

_publish(
    TenantOrderField,
    description_of(TenantOrderField),
    CREATED_AT="Time of creation, which never changes.",
    UPDATED_AT="Time of the last change. A tenant that changes between two pages moves in the list.",
    SLUG="The slug, in the order of the database's collation.",
)

_publish(
    OrderDirection,
    description_of(OrderDirection),
    ASC="Smallest, oldest or alphabetically first value first.",
    DESC="Largest, newest or alphabetically last value first.",
)

_publish(
    UserErrorCode,
    description_of(UserErrorCode),
    NOT_FOUND="The object does not exist, or the caller cannot see it.",
    FORBIDDEN="The caller does not have the right that the call needs.",
    INVALID="A value is malformed or out of range; field says which one.",
    TAKEN="The value has to be unique, and another object has it; field says which one.",
    INVALID_STATE="The state of the tenant does not allow the call; see InvalidStateError.",
    VERSION_CONFLICT="The object has another version than expectedVersion: read it again, then decide.",
    IDEMPOTENCY_KEY_REUSED="The key was used with other input: use a new key for a new call.",
    IDEMPOTENCY_IN_PROGRESS="A call with the same key has not finished: repeat this one in a moment.",
    STALE_RUN="The run in runId is not the one that is under way.",
    QUOTA_EXCEEDED="The organisation's plan allows no more tenants: decommission one or change the plan.",
    NOT_CONFIRMED="confirmSlug is not the slug of the tenant.",
    TOO_SOON="The same was done too recently; the message says in how many seconds the call is allowed again.",
)
