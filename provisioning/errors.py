"""The errors that provisioning raises. Their facts are fields, and their messages are shown to users."""

import math
from collections.abc import Sequence
from datetime import timedelta

from models import TenantState


class ProvisioningRefused(Exception):
    """A refused command or query. Nothing was changed, and the caller can act on the reason."""


class NotFound(ProvisioningRefused):
    """The object does not exist, or the caller has no access to it. The caller must not be able to tell which."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The {what} was not found: it does not exist, or you have no access to it.")
        self.what = what


class NotPermitted(ProvisioningRefused):
    """The caller does not have the permission. ``action`` completes the sentence "You are not allowed to …"."""

    def __init__(self, action: str) -> None:
        super().__init__(f"You are not allowed to {action}.")
        self.action = action


class Malformed(ProvisioningRefused):
    """A value is invalid. ``field`` is the name of the argument in snake case."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Taken(ProvisioningRefused):
    """A value that must be unique is already used."""

    def __init__(self, field: str, value: str, by: str = "tenant") -> None:
        super().__init__(f"{value!r} is taken by another {by}: choose another one.")
        self.field = field
        self.value = value


class IllegalMove(ProvisioningRefused):
    """The tenant's state does not allow the action. ``allowed`` are the states that do."""

    def __init__(self, state: TenantState, allowed: Sequence[TenantState], message: str | None = None) -> None:
        names = " or ".join(sorted(allowed))
        super().__init__(message or f"The tenant is {state}: this action needs a tenant that is {names}.")
        self.state = state
        self.allowed = tuple(allowed)


class NotProvisioning(IllegalMove):
    """The tenant has no provisioning run in progress, so nothing can be cancelled."""

    def __init__(self, state: TenantState) -> None:
        super().__init__(
            state,
            [TenantState.PROVISIONING],
            f"The tenant is {state}: only a provisioning in progress can be cancelled.",
        )


class NotStuck(IllegalMove):
    """The tenant has no stuck compensation that could be resumed."""

    def __init__(self, state: TenantState) -> None:
        super().__init__(
            state,
            [TenantState.PROVISIONING, TenantState.DECOMMISSIONING],
            f"The tenant is {state} and has no stuck compensation: there is nothing to resume.",
        )


class StaleRun(ProvisioningRefused):
    """The run that the caller named is not the tenant's live run."""

    def __init__(self, current_number: int | None) -> None:
        current = f"run {current_number} is in progress now" if current_number else "no run is in progress now"
        super().__init__(f"The run you named is no longer in progress: {current}. Read the tenant again, then decide.")
        self.current_number = current_number


class VersionConflict(ProvisioningRefused):
    """The object was changed since the caller read it."""

    def __init__(self, expected: int, current: int, what: str = "tenant") -> None:
        super().__init__(f"The {what} is at version {current}, not {expected}: read it again, then decide.")
        self.expected = expected
        self.current = current


class TooSoon(ProvisioningRefused):
    """The action was performed too recently. ``retry_after`` is the time until it is allowed again."""

    def __init__(self, what: str, retry_after: timedelta) -> None:
        self.retry_after = retry_after
        super().__init__(f"{what}: try again in {max(1, math.ceil(retry_after.total_seconds()))} s.")


class QuotaExceeded(ProvisioningRefused):
    """The organisation uses all the tenants that its plan allows."""

    def __init__(self, used: int, allowed: int) -> None:
        super().__init__(
            f"The plan allows {allowed} tenants and {used} are in use: decommission one or change the plan."
        )
        self.used = used
        self.allowed = allowed


class NotConfirmed(ProvisioningRefused):
    """The slug given as confirmation is not the tenant's slug."""

    def __init__(self) -> None:
        super().__init__("The confirmation is not the tenant's slug: give the slug. Decommissioning cannot be undone.")


class IdempotencyKeyReused(ProvisioningRefused):
    """The idempotency key was used before with different input."""

    def __init__(self) -> None:
        super().__init__("This idempotency key was used before with different input: use a new key for a new request.")


class IdempotencyInProgress(ProvisioningRefused):
    """An earlier request with the same idempotency key has not finished."""

    def __init__(self) -> None:
        super().__init__("A request with this idempotency key is still in progress: repeat the request in a moment.")


class LedgerNotEmpty(Exception):
    """A run cannot settle while its ledger has held resources. This is a defect, not a refusal."""
