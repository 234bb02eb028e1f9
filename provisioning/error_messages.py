"""The text of an error for operators: its cause, without SQL statements, paths, stack traces or secrets."""

import re

import psycopg

from models import RunErrorCode
from provisioning.errors import ProvisioningRefused
from provisioning.ports import Refused, TryAgain
from provisioning.saga import UnknownStep
from provisioning.step_context import StepStopped, StopReason
from runtime.masking import masked

MAX_LENGTH = 300
OPERATOR_ERRORS = (Refused, TryAgain, StepStopped, UnknownStep, ProvisioningRefused)
"""Errors with a message that is written for operators."""


def describe(error: BaseException) -> str:
    """One line for the timeline. The log has the details."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, psycopg.Error):
        return _line(f"PostgreSQL error: {cause.diag.message_primary or _refusal_in(str(cause))}")
    if isinstance(error, OPERATOR_ERRORS):
        return _line(str(error))
    if isinstance(error, OSError) and error.strerror:
        return _line(f"{type(error).__name__}: {error.strerror}")  # str(error) contains the path
    return _line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def code_of(error: BaseException) -> RunErrorCode:
    """Why a step has no further attempt after this error, if there is none: for programs."""
    if isinstance(error, Refused):
        return RunErrorCode.REFUSED
    if isinstance(error, StepStopped) and error.reason is StopReason.TIMED_OUT:
        return RunErrorCode.TIMED_OUT
    return RunErrorCode.ATTEMPTS_EXHAUSTED


def _refusal_in(text: str) -> str:
    """Why the server refused a connection. The rest of the text contains its address.

    libpq puts two blanks between the severity and the message of a server, both of which may be translated.
    """
    refusal = re.search(r":  (.+)", text)
    return refusal[1] if refusal else "the connection was lost"


def _line(text: str) -> str:
    text = masked(text)
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first if len(first) <= MAX_LENGTH else first[: MAX_LENGTH - 1] + "…"
