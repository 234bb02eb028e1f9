"""The description of an error is its cause in one line, without internal details."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import IntegrityError, OperationalError

from provisioning.error_messages import MAX_LENGTH, describe
from provisioning.errors import Taken
from provisioning.ports import Refused
from provisioning.saga import UnknownStep
from provisioning.step_context import StepStopped, StopReason

STATEMENT = "INSERT INTO signing_keys (private_key) VALUES ('geheim')"


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (Refused("The host name is held by another tenant."), "The host name is held by another tenant."),
        (StepStopped(StopReason.TIMED_OUT), "the attempt exceeded the timeout of the step"),
        (Taken("slug", "shop"), "'shop' is taken by another tenant: choose another one."),
        (UnknownStep("old_step"), "This release has no step 'old_step': deploy a release that has it."),
        (TimeoutError("no answer"), "TimeoutError: no answer"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_is_described_by_its_cause(error: Exception, described: str) -> None:
    assert describe(error) == described


def test_the_description_of_a_database_error_has_no_statement_and_no_value() -> None:
    wrapped = IntegrityError(STATEMENT, {"key": "geheim"}, errors.UniqueViolation("duplicate key\nDETAIL: (geheim)"))

    described = describe(wrapped)

    assert described == "PostgreSQL error: the connection was lost" or described.startswith("PostgreSQL error: ")
    assert "geheim" not in described
    assert "INSERT" not in described


def test_the_description_of_a_connection_error_has_no_address_and_no_password() -> None:
    with pytest.raises(psycopg.OperationalError) as failure:
        psycopg.connect("postgresql://app:hunter2@127.0.0.1:1/secret_database", connect_timeout=1)

    for error in (failure.value, OperationalError(STATEMENT, {}, failure.value)):
        assert describe(error) == "PostgreSQL error: the connection was lost"


def test_a_description_is_the_first_line_of_the_message() -> None:
    error = RuntimeError('it broke\n  File "/srv/tenantry/adapters/x.py", line 3\n    secret = 1')

    assert describe(error) == "RuntimeError: it broke"


def test_a_long_description_is_truncated() -> None:
    described = describe(Refused("x" * 10_000))

    assert len(described) == MAX_LENGTH
    assert described.endswith("…")


@pytest.mark.parametrize("blank", ["", " ", "\n\n"])
def test_an_error_with_a_blank_message_has_a_description(blank: str) -> None:
    assert describe(RuntimeError(blank)).strip()


def test_a_description_has_no_path() -> None:
    with pytest.raises(OSError) as failure:  # noqa: PT011  # any OSError with a path
        open("/nowhere/secret/file")  # noqa: PTH123, SIM115  # opening fails

    assert "/nowhere" not in describe(failure.value)
