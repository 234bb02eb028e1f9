"""What people are told of an error: the cause in one line, and nothing about the inside of the house."""

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
    ("error", "told"),
    [
        (Refused("The host name is held by another tenant."), "The host name is held by another tenant."),
        (StepStopped(StopReason.TIMED_OUT), "the attempt exceeded the timeout of the step"),
        (Taken("slug", "shop"), "'shop' is taken by another tenant: choose another one."),
        (UnknownStep("old_step"), "This release has no step 'old_step': deploy a release that has it."),
        (TimeoutError("no answer"), "TimeoutError: no answer"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_cause_is_told_in_one_sentence(error: Exception, told: str) -> None:
    assert describe(error) == told


def test_a_database_error_shows_no_statement_and_no_value() -> None:
    wrapped = IntegrityError(STATEMENT, {"key": "geheim"}, errors.UniqueViolation("duplicate key\nDETAIL: (geheim)"))

    told = describe(wrapped)

    assert told == "PostgreSQL error: the connection was lost" or told.startswith("PostgreSQL error: ")
    assert "geheim" not in told
    assert "INSERT" not in told


def test_a_connection_error_shows_no_address_and_no_password() -> None:
    with pytest.raises(psycopg.OperationalError) as failure:
        psycopg.connect("postgresql://app:hunter2@127.0.0.1:1/secret_database", connect_timeout=1)

    for error in (failure.value, OperationalError(STATEMENT, {}, failure.value)):
        assert describe(error) == "PostgreSQL error: the connection was lost"


def test_only_the_first_line_is_told() -> None:
    error = RuntimeError('it broke\n  File "/srv/tenantry/adapters/x.py", line 3\n    secret = 1')

    assert describe(error) == "RuntimeError: it broke"


def test_a_long_message_is_cut() -> None:
    told = describe(Refused("x" * 10_000))

    assert len(told) == MAX_LENGTH
    assert told.endswith("…")


@pytest.mark.parametrize("blank", ["", " ", "\n\n"])
def test_a_message_without_words_still_says_something(blank: str) -> None:
    assert describe(RuntimeError(blank)).strip()


def test_a_path_is_not_told() -> None:
    with pytest.raises(OSError) as failure:  # noqa: PT011  # which one is the point of no test here
        open("/nowhere/secret/file")  # noqa: PTH123, SIM115  # it fails

    assert "/nowhere" not in describe(failure.value)
