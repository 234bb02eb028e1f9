"""Errors of a request: what belongs into ``errors`` because no mutation's payload could carry it."""

from graphql import GraphQLError

from provisioning.errors import ProvisioningRefused


class RequestRefused(GraphQLError):
    """The request cannot be answered as it stands. ``code`` tells programs why."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": self.code})


class BadUserInput(RequestRefused):
    """An argument is malformed."""


class Forbidden(RequestRefused):
    """The caller lacks a right."""

    code = "FORBIDDEN"


class TooComplex(RequestRefused):
    """The document is larger, or costs more, than anybody needs."""

    code = "DOCUMENT_TOO_COMPLEX"


class NotFound(RequestRefused):
    """There is no such object, or the caller may not see it."""

    code = "NOT_FOUND"

    @classmethod
    def like(cls, refusal: ProvisioningRefused) -> "NotFound":
        """Say what the domain said."""
        return cls(str(refusal))
