"""Everything that provisioning may refuse. Facts are fields; the message is a true sentence an operator may read."""

from collections.abc import Sequence

from models import TenantState


class ProvisioningRefused(Exception):
    """A refusal the caller can act on. Nothing was changed."""


class NotFound(ProvisioningRefused):
    """No such object, or one the caller may not see: the two look the same on purpose."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")
        self.what = what


class NotPermitted(ProvisioningRefused):
    """The caller lacks a right."""

    def __init__(self, action: str) -> None:
        super().__init__(f"You are not allowed to {action}.")
        self.action = action


class Malformed(ProvisioningRefused):
    """A value breaks a rule. ``field`` is the argument's name in snake case."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Taken(ProvisioningRefused):
    """A value that must be unique is in use."""

    def __init__(self, field: str, value: str, by: str = "tenant") -> None:
        super().__init__(f"{value!r} is taken by another {by}.")
        self.field = field
        self.value = value


class IllegalMove(ProvisioningRefused):
    """The tenant's state does not allow it."""

    def __init__(self, state: TenantState, allowed: Sequence[TenantState], message: str | None = None) -> None:
        names = " or ".join(sorted(allowed))
        super().__init__(message or f"The tenant is {state}; this needs {names}.")
        self.state = state
        self.allowed = tuple(allowed)


class NotProvisioning(IllegalMove):
    """There is nothing to cancel (any more)."""

    def __init__(self, state: TenantState) -> None:
        super().__init__(
            state, [TenantState.PROVISIONING], f"The tenant is {state}: only a provisioning under way can be cancelled."
        )


class NotStuck(IllegalMove):
    """There is no stuck compensation to go on with."""

    def __init__(self, state: TenantState) -> None:
        super().__init__(
            state,
            [TenantState.PROVISIONING, TenantState.DECOMMISSIONING],
            f"The tenant is {state} and none of its compensations is stuck.",
        )


class StaleRun(ProvisioningRefused):
    """The run named is not the one at work."""

    def __init__(self, current_number: int | None) -> None:
        now = f"run {current_number} is" if current_number else "none is"
        super().__init__(f"The run you named is not at work any more; {now}.")
        self.current_number = current_number


class VersionConflict(ProvisioningRefused):
    """Somebody else changed the object first."""

    def __init__(self, expected: int, current: int, what: str = "tenant") -> None:
        super().__init__(f"The {what} is at version {current}, not {expected}: read it again, then decide.")
        self.expected = expected
        self.current = current


class QuotaExceeded(ProvisioningRefused):
    """The organisation's plan allows no more tenants at once."""

    def __init__(self, used: int, allowed: int) -> None:
        super().__init__(
            f"The plan allows {allowed} tenants at once and {used} count now: decommission one or change the plan."
        )
        self.used = used
        self.allowed = allowed


class NotConfirmed(ProvisioningRefused):
    """The slug typed to confirm is not the tenant's."""

    def __init__(self) -> None:
        super().__init__("Type the tenant's slug to confirm: decommissioning cannot be taken back.")


class IdempotencyKeyReused(ProvisioningRefused):
    """The key was used with other input."""

    def __init__(self) -> None:
        super().__init__("This idempotency key was used with other input; use a new key for a new call.")


class IdempotencyInProgress(ProvisioningRefused):
    """A call with the same key has not answered yet."""

    def __init__(self) -> None:
        super().__init__("A call with this idempotency key is still at work; repeat yours in a moment.")


class LedgerNotEmpty(Exception):
    """A run cannot settle while its ledger holds something: a fault, not a refusal."""
