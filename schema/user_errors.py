"""What a mutation answers when it refuses: typed user errors, from what the domain raises."""

import re

import strawberry

from models import TenantState
from provisioning import errors
from provisioning.errors import IllegalMove, Malformed, NotFound, ProvisioningRefused, Taken
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
    errors.NotConfirmed: (Code.NOT_CONFIRMED, "confirm_slug"),
    errors.IdempotencyKeyReused: (Code.IDEMPOTENCY_KEY_REUSED, "idempotency_key"),
    errors.IdempotencyInProgress: (Code.IDEMPOTENCY_IN_PROGRESS, "idempotency_key"),
}
"""The code of each refusal, and the argument it is about unless the refusal itself names one."""


@strawberry.interface(description="A refusal the caller can act on.")
class UserError:
    """A refusal."""

    code: UserErrorCode = strawberry.field(description="Stable reason.")
    message: str = strawberry.field(description="A sentence for people.")
    field: list[str] | None = strawberry.field(description="Path in the arguments, for example input, slug.")


@strawberry.type(description="A refusal without further data.")
class GenericError(UserError):
    """A refusal that its code tells in full."""

    code: UserErrorCode = strawberry.field(description="Stable reason.")
    message: str = strawberry.field(description="A sentence for people.")
    field: list[str] | None = strawberry.field(description="Path in the arguments.")


@strawberry.type(description="The state machine said no.")
class InvalidStateError(UserError):
    """A refusal because of the tenant's state."""

    code: UserErrorCode = strawberry.field(description="Stable reason.")
    message: str = strawberry.field(description="A sentence for people.")
    field: list[str] | None = strawberry.field(description="Path in the arguments.")
    current_state: TenantState = strawberry.field(description="State the tenant is in.")
    allowed_states: list[TenantState] = strawberry.field(description="States that would have allowed it.")


def user_error_of(refusal: ProvisioningRefused) -> UserError:
    """The user error for a refusal."""
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
