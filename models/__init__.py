"""The tables of the product, one per file. Importing this package registers all of them in ``metadata``."""

from models.absence_check import AbsenceCheck
from models.account import TenantAccount
from models.columns import metadata
from models.denial import Denial
from models.event import ActorKind, Event
from models.host_name import HostName
from models.idempotency import IdempotencyKey
from models.member import Member, Role
from models.organisation import Organisation
from models.plan import Plan
from models.readiness_check import ReadinessCheck
from models.resource import Resource, ResourceStatus
from models.run import (
    FOLLOW_UPS,
    LIVE_STATUSES,
    NOTHING_TO_UNDO,
    UNDONE_STATUSES,
    Run,
    RunErrorCode,
    RunKind,
    RunStatus,
    RunStep,
    StepRole,
    StepStatus,
)
from models.service_account import ServiceAccount
from models.signing_key import SigningKey
from models.tenant import QUOTA_STATES, Tenant, TenantState
from models.workload import Workload

__all__ = [
    "FOLLOW_UPS",
    "LIVE_STATUSES",
    "NOTHING_TO_UNDO",
    "QUOTA_STATES",
    "UNDONE_STATUSES",
    "AbsenceCheck",
    "ActorKind",
    "Denial",
    "Event",
    "HostName",
    "IdempotencyKey",
    "Member",
    "Organisation",
    "Plan",
    "ReadinessCheck",
    "Resource",
    "ResourceStatus",
    "Role",
    "Run",
    "RunErrorCode",
    "RunKind",
    "RunStatus",
    "RunStep",
    "ServiceAccount",
    "SigningKey",
    "StepRole",
    "StepStatus",
    "Tenant",
    "TenantAccount",
    "TenantState",
    "Workload",
    "metadata",
]
