"""What an error is called towards people: the cause, never a statement, a path or a stack."""

import psycopg

from provisioning.errors import ProvisioningRefused
from provisioning.ports import Refused, TryAgain
from provisioning.saga import UnknownStep
from provisioning.step_context import StepStopped

LONGEST = 300
SPEAKING = (Refused, TryAgain, StepStopped, UnknownStep, ProvisioningRefused)
"""Errors whose message was written for an operator."""


def describe(error: BaseException) -> str:
    """One line for the timeline; the log has the rest."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, psycopg.Error):
        return _line(f"PostgreSQL said: {cause.diag.message_primary or 'the connection was lost'}")
    if isinstance(error, SPEAKING):
        return _line(str(error))
    if isinstance(error, OSError) and error.strerror:
        return _line(f"{type(error).__name__}: {error.strerror}")  # its str() has the path
    return _line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _line(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first if len(first) <= LONGEST else first[: LONGEST - 1] + "…"
