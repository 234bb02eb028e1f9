"""User errors in the GraphQL schema: how a payload reports that the domain refused a mutation."""

import re

import strawberry

from models import TenantState
from provisioning import errors
from provisioning.errors import IllegalMove, Malformed, NotFound, ProvisioningRefused, Taken
from schema.described import described_interface, described_type
from schema.enums import UserErrorCode

Code = UserErrorCode

REFUSALS: dict[type[ProvisioningRefused], tuple[UserErrorCode, str | None]] = {
    errors.NotFound: (Code.NOT_FOUND, None),
    errors.NotPermitted: (Code.FORBIDDEN, None),
    errors.Malformed: (Code.INVALID, None),
    errors.Taken: (Code.TAKEN, None),
    errors.IllegalMove: (Code.INVALID_STATE, "tenant_id"),
    errors.NotProvisioning: (Code.INVALID_STATE, "tenant_id"),
    errors.NotStuck: (Code.INVALID_STATE, "tenant_id"),
    errors.StaleRun: (Code.STALE_RUN, "run_id"),
    errors.VersionConflict: (Code.VERSION_CONFLICT, "expected_version"),
    errors.QuotaExceeded: (Code.QUOTA_EXCEEDED, None),
    errors.TooSoon: (Code.TOO_SOON, None),
    errors.NotConfirmed: (Code.NOT_CONFIRMED, "confirm_slug"),
    errors.IdempotencyKeyReused: (Code.IDEMPOTENCY_KEY_REUSED, "idempotency_key"),
    errors.IdempotencyInProgress: (Code.IDEMPOTENCY_IN_PROGRESS, "idempotency_key"),
}
"""The code of each refusal, and the input field that it concerns unless the refusal itself names one."""


@described_interface
class UserError:
    """A reason why a mutation was refused and changed nothing."""

    code: UserErrorCode = strawberry.field(
        description="Reason for programs. Codes never change their meaning; new ones may be added."
    )
    message: str = strawberry.field(
        description="What is wrong and what to do, as a sentence for people. The wording may change."
    )
    field: list[str] | None = strawberry.field(
        description="Path of the argument that is wrong, such as input, slug; null when no single argument is."
    )


@described_type
class GenericError(UserError):
    """A refusal that its code and message describe completely."""


@described_type
class InvalidStateError(UserError):
    """A refusal because the tenant's state does not allow the mutation."""

    current_state: TenantState = strawberry.field(description="State of the tenant when the call was refused.")
    allowed_states: list[TenantState] = strawberry.field(
        description="States in which the mutation is allowed. Other conditions can apply in addition."
    )


def user_error_of(refusal: ProvisioningRefused) -> UserError:
    """Convert a refusal."""
    code, field = REFUSALS[type(refusal)]
    path = _path(_argument_of(refusal) or field)
    if isinstance(refusal, IllegalMove):
        return InvalidStateError(
            code=code,
            message=str(refusal),
            field=path,
            current_state=refusal.state,
            allowed_states=list(refusal.allowed),
        )
    return GenericError(code=code, message=str(refusal), field=path)


def _argument_of(refusal: ProvisioningRefused) -> str | None:
    match refusal:
        case Malformed(field=name) | Taken(field=name):
            return name
        case NotFound(what=noun):
            return f"{noun.replace(' ', '_')}_id"
        case _:
            return None


def _path(field: str | None) -> list[str] | None:
    return ["input", re.sub(r"_(\w)", lambda letter: letter[1].upper(), field)] if field else None
