"""The enums that clients see, each published once, every value described."""

from enum import StrEnum
from typing import Any

import strawberry

from access.permissions import TenantAction
from models import ActorKind, ResourceStatus, Role, RunKind, RunStatus, StepStatus, TenantState


class ProvisioningEventKind(StrEnum):
    """What a timeline entry tells."""

    RUN_STARTED = "RUN_STARTED"
    STEP_STARTED = "STEP_STARTED"
    STEP_SUCCEEDED = "STEP_SUCCEEDED"
    STEP_FAILED = "STEP_FAILED"
    STEP_INTERRUPTED = "STEP_INTERRUPTED"
    STEP_PROGRESS = "STEP_PROGRESS"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    COMPENSATION_STARTED = "COMPENSATION_STARTED"
    STEP_COMPENSATED = "STEP_COMPENSATED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    COMPENSATION_RESUMED = "COMPENSATION_RESUMED"
    RUN_STUCK = "RUN_STUCK"
    RUN_FINISHED = "RUN_FINISHED"


class TenantOrderField(StrEnum):
    """Sort keys of tenants."""

    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"
    SLUG = "SLUG"


class OrderDirection(StrEnum):
    """Sort direction."""

    ASC = "ASC"
    DESC = "DESC"


class UserErrorCode(StrEnum):
    """Stable reasons a mutation can refuse."""

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


def _publish(options: type[StrEnum], description: str, called: str | None = None, **sentences: str) -> None:
    """Make an enum of ours one of GraphQL's. A value without a sentence, or a sentence without a value, is an error."""
    strawberry.enum(options, name=called, description=description)
    definition: Any = vars(options)["__strawberry_definition__"]
    for value in definition.values:
        value.description = sentences.pop(value.name)
    assert not sentences, f"{options.__name__} has no {', '.join(sentences)}"


_publish(
    TenantState,
    "Lifecycle of a tenant.",
    PENDING="Holds no resources. Reached before the first attempt and after a cancelled one.",
    PROVISIONING="A provisioning run is working on it, or undoing its work.",
    ACTIVE="Live.",
    FAILED="The last run failed and was compensated.",
    SUSPENDED="Kept, but not served.",
    DECOMMISSIONING="Resources are being released.",
    DECOMMISSIONED="Released. The slug is free again.",
)

_publish(
    TenantAction,
    "What the caller may do with a tenant now: the buttons a page should offer.",
    CANCEL_PROVISIONING="cancelProvisioning",
    RETRY_PROVISIONING="retryProvisioning",
    SUSPEND="suspendTenant",
    RESUME="resumeTenant",
    DECOMMISSION="decommissionTenant",
    RECREATE="recreateTenant",
    UPDATE="updateTenant",
    RESUME_COMPENSATION="resumeCompensation",
    RESEND_WELCOME_EMAILS="resendWelcomeEmails",
)

_publish(
    RunStatus,
    "Status of a provisioning run.",
    QUEUED="Waiting for a worker.",
    RUNNING="Steps are being executed.",
    CANCELLING="A cancel is on record: the step in flight stops, then compensations run in reverse.",
    COMPENSATING="A step failed for good: compensations run in reverse. A decommissioning run is here from its start.",
    STUCK="A compensation used up its attempts: resources are still held, resumeCompensation goes on.",
    SUCCEEDED="The tenant went live.",
    CANCELLED="Undone on request; nothing is held.",
    FAILED="Undone after a failure; nothing is held.",
    DECOMMISSIONED="Everything was released for good.",
)

_publish(
    RunKind,
    "What a run is for.",
    PROVISION="Bring the tenant to ACTIVE.",
    DECOMMISSION="Release everything it holds.",
)

_publish(
    StepStatus,
    "Where a step of a run stands.",
    WAITING="Not begun.",
    RUNNING="Being performed, or waiting for its next look or attempt.",
    DONE="Done.",
    FAILED="Out of attempts, or refused for good.",
    INTERRUPTED="Stopped by a cancel while it was being performed.",
    COMPENSATING="Its compensation is at work.",
    COMPENSATED="Undone, and confirmed absent.",
    COMPENSATION_FAILED="Its compensation used up its attempts.",
    ABANDONED="Left as it is by an operator's decision.",
)

_publish(
    ResourceStatus,
    "What became of a resource.",
    INTENDED="About to be created, or perhaps created.",
    HELD="Held.",
    RELEASED="Released and confirmed absent.",
    ABANDONED="Left behind knowingly; see the audit feed for who and why.",
)

_publish(
    ProvisioningEventKind,
    "What a timeline entry tells.",
    RUN_STARTED="The run began.",
    STEP_STARTED="A step began.",
    STEP_SUCCEEDED="A step is done.",
    STEP_FAILED="A step failed.",
    STEP_INTERRUPTED="Stopped by a cancel, or its worker was lost; it is undone first.",
    STEP_PROGRESS="A step at work says how far it is; a quiet one, every few seconds, that it is still at work. "
    "Coalesced, never stored in the audit feed.",
    CANCEL_REQUESTED="A stop was asked for.",
    COMPENSATION_STARTED="A compensation began.",
    STEP_COMPENSATED="A compensation is done and confirmed.",
    COMPENSATION_FAILED="A compensation failed; it is tried again while attempts are left.",
    COMPENSATION_RESUMED="A person had a stuck run go on with its compensations.",
    RUN_STUCK="A compensation is out of attempts and needs a person.",
    RUN_FINISHED="The run ended; the last entry.",
)

_publish(
    ActorKind,
    "Kind of caller.",
    USER="A person.",
    INTEGRATION="A partner's integration.",
    SUPPORT="Support staff of the platform.",
    SYSTEM="The platform itself.",
)

_publish(
    Role,
    "What a person may do in their organisation.",
    called="MemberRole",
    OWNER="Everything. An organisation has exactly one.",
    ADMIN="Everything but changing or removing the owner.",
    VIEWER="Read tenants, runs and the audit feed.",
)

_publish(
    TenantOrderField,
    "Sort keys of tenants.",
    CREATED_AT="Creation time.",
    UPDATED_AT="Last change.",
    SLUG="Slug.",
)

_publish(
    OrderDirection,
    "Sort direction.",
    ASC="Smallest first.",
    DESC="Largest first.",
)

_publish(
    UserErrorCode,
    "Stable reasons a mutation can refuse.",
    NOT_FOUND="No such object, or not visible.",
    FORBIDDEN="The caller lacks a right.",
    INVALID="A value is malformed.",
    TAKEN="The value is in use.",
    INVALID_STATE="The object's state does not allow it.",
    VERSION_CONFLICT="expectedVersion is not the current one.",
    IDEMPOTENCY_KEY_REUSED="The idempotency key was used with other input.",
    IDEMPOTENCY_IN_PROGRESS="A request with the same key is still at work.",
    STALE_RUN="The run named is not the one at work.",
    QUOTA_EXCEEDED="The organisation's plan allows no more tenants.",
    NOT_CONFIRMED="The confirmation does not match.",
)
