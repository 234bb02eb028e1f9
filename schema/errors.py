"""Errors of a request that are reported in ``errors``, because no payload of a mutation can report them."""

from graphql import GraphQLError

from provisioning.errors import ProvisioningRefused
from runtime.connection_shares import WAIT_TIMEOUT, NoConnection


class RequestRefused(GraphQLError):
    """The request was refused. ``code`` is the reason for programs."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": self.code})


class BadUserInput(RequestRefused):
    """An argument is malformed."""


class Forbidden(RequestRefused):
    """The caller does not have the right that the request needs."""

    code = "FORBIDDEN"


class TooComplex(RequestRefused):
    """The document is larger, or costs more, than is allowed."""

    code = "DOCUMENT_TOO_COMPLEX"


class Busy(RequestRefused):
    """The operation waited too long for one of the process's database connections. ``retry_after`` in whole seconds."""

    retry_after = 1

    def __init__(self, refusal: NoConnection) -> None:
        self.code = "RATE_LIMITED" if refusal.own else "SERVICE_UNAVAILABLE"
        reason = (
            "your organisation uses its whole part of this server's database connections"
            if refusal.own
            else "all database connections of this server are in use"
        )
        super().__init__(f"Waited {WAIT_TIMEOUT:.0f} s: {reason}. Send fewer operations at once, and try again in 1 s.")
        assert self.extensions is not None, "the code is in it"
        self.extensions["retryAfter"] = self.retry_after


class UnknownCursor(RequestRefused):
    """The feed has no event at the cursor: deleted after its retention, lost in a restore, or never in this feed."""

    code = "UNKNOWN_CURSOR"


class NotFound(RequestRefused):
    """The object does not exist, or the caller cannot see it."""

    code = "NOT_FOUND"

    @classmethod
    def like(cls, refusal: ProvisioningRefused) -> "NotFound":
        """The same refusal as an error of the request."""
        return cls(str(refusal))
