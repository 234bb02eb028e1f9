"""What failed and why is in the API: of a run that failed, of one that is stuck, and of each step that was undone."""

from datetime import datetime, timedelta

import pytest

from adapters.fault_injection import Fault
from provisioning import cancellation
from provisioning.moves import Backward
from provisioning.ports import Refused
from provisioning.saga import UNDO_ATTEMPTS, NotYet
from provisioning.step_context import StepStopped, StopReason
from tests.api import Client, Facts, tenant_gid
from tests.run_harness import RunHarness

CALLS = {
    "allocate_storage": "storage.create",
    "allocate_identity": "identity.create",
    "allocate_traffic": "traffic.reserve",
    "apply_schema": "storage.migrate",
    "deploy_workloads": "deployer.deploy",
    "await_readiness": "deployer.health",
}
"""The adapter call of each step."""

RUN = """
    query R($id: ID!) { tenant(id: $id) { runs(first: 1) { edges { node {
      status failedStep error errorCode stuckSince stuckStep stuckError
      steps { name status error compensationError attempts compensationAttempts maxCompensationAttempts message
        compensationStartedAt attemptStartedAt attemptDeadlineAt nextAttemptAt } } } } } }
"""


def run_of(client: Client, harness: RunHarness) -> Facts:
    (edge,) = client.execute(RUN, id=tenant_gid(harness.tenant_id))["tenant"]["runs"]["edges"]
    run: Facts = edge["node"]
    return run


def step_of(run: Facts, name: str) -> Facts:
    step: Facts = next(step for step in run["steps"] if step["name"] == name)
    return step


def failure_of(run: Facts) -> tuple[str, str, str]:
    return run["failedStep"], run["error"], run["errorCode"]


@pytest.mark.parametrize("step", CALLS)
def test_a_failed_run_names_its_failed_step_and_the_step_keeps_its_error(
    harness: RunHarness, owner: Client, step: str
) -> None:
    harness.create()
    harness.faults.fail(CALLS[step], error=Refused("The deployer refused the request (422): no such plan"))

    harness.make_moves()

    run = run_of(owner, harness)
    assert run["status"] == "FAILED"
    assert failure_of(run) == (step, "The deployer refused the request (422): no such plan", "REFUSED")
    assert (run["stuckSince"], run["stuckStep"], run["stuckError"]) == (None, None, None)
    errors = {one["name"]: one["error"] for one in run["steps"] if one["error"]}
    assert errors == {step: "The deployer refused the request (422): no such plan"}
    assert (step_of(run, step)["status"], step_of(run, step)["compensationError"]) == ("COMPENSATED", None)


def test_the_code_of_a_failure_says_that_its_attempts_were_used_up(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.faults.fail("storage.create", times=99)

    harness.make_moves()

    error = f"Fault: {Fault('storage.create', after=False)}"
    assert failure_of(run_of(owner, harness)) == ("allocate_storage", error, "ATTEMPTS_EXHAUSTED")


def test_the_code_of_a_failure_says_that_its_time_was_up(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    for _ in range(5):
        harness.record_failure(harness.claim(), StepStopped(StopReason.TIMED_OUT))
    harness.make_moves()

    error = "the attempt exceeded the timeout of the step"
    assert failure_of(run_of(owner, harness)) == ("allocate_storage", error, "TIMED_OUT")


def test_the_code_of_a_failure_says_that_every_worker_was_lost(harness: RunHarness, owner: Client) -> None:
    harness.create()
    for _ in range(3):
        harness.claim()
        harness.expire_lease()

    assert harness.try_claim() is None

    harness.make_moves()
    assert failure_of(run_of(owner, harness))[::2] == ("validate_request", "WORKER_LOST")


def test_a_stuck_run_says_since_when_and_why_and_still_why_it_failed(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="deploy_workloads")
    harness.faults.fail("deployer.deploy", error=Refused("No such plan."))
    harness.faults.fail("deployer.tear_down", error=Refused("Not yours."))

    harness.make_moves()

    run = run_of(owner, harness)
    assert run["status"] == "STUCK"
    assert failure_of(run) == ("deploy_workloads", "No such plan.", "REFUSED")
    assert (run["stuckStep"], run["stuckError"]) == ("deploy_workloads", "Not yours.")
    assert run["stuckSince"] == stamp(harness.events()[-1].created_at)
    step = step_of(run, "deploy_workloads")
    assert (step["error"], step["compensationError"]) == ("Not yours.", "Not yours.")


def test_a_run_that_was_stuck_still_says_why_it_failed_when_it_has_ended(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="deploy_workloads")
    harness.faults.fail("deployer.deploy", error=Refused("No such plan."))
    harness.faults.fail("deployer.tear_down", error=Refused("Not yours."))
    harness.make_moves()

    harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator)
    harness.make_moves()

    run = run_of(owner, harness)
    assert (run["status"], run["stuckSince"], run["stuckError"]) == ("FAILED", None, None)
    assert failure_of(run) == ("deploy_workloads", "No such plan.", "REFUSED")
    assert step_of(run, "deploy_workloads")["error"] == "No such plan."
    end = next(event for event in harness.events() if event.type == "tenant.provisioning.failed")
    assert (end.data["failed_step"], end.data["error"]) == ("deploy_workloads", "No such plan.")


def test_a_step_interrupted_in_a_later_attempt_keeps_the_error_of_the_attempt_before(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    harness.make_moves(until="allocate_identity")
    harness.record_failure(harness.claim(), ConnectionError("no route"))
    claim = harness.claim()
    harness.cancel()
    harness.record_failure(claim, StepStopped(StopReason.CANCELLED))

    harness.make_moves()

    run = run_of(owner, harness)
    assert (run["status"], run["failedStep"], run["error"]) == ("CANCELLED", None, None)
    step = step_of(run, "allocate_identity")
    assert (step["status"], step["error"]) == ("COMPENSATED", "ConnectionError: no route")


def test_an_undo_that_waits_says_which_attempt_it_is_and_when_it_is_over(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    harness.record(harness.claim(Backward("deploy_workloads")), NotYet(timedelta(seconds=1)))

    step = step_of(run_of(owner, harness), "deploy_workloads")

    row = harness.step("deploy_workloads")
    assert row.attempt_started_at is not None
    assert (step["compensationAttempts"], step["maxCompensationAttempts"]) == (1, UNDO_ATTEMPTS)
    assert step["attemptStartedAt"] == step["compensationStartedAt"] == stamp(row.compensation_started_at)
    assert step["attemptDeadlineAt"] == stamp(row.attempt_started_at + timedelta(minutes=10))
    assert step["nextAttemptAt"] == stamp(row.next_attempt_at)


def test_a_step_between_two_attempts_has_no_attempt_under_way(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    harness.record_failure(harness.claim(), ConnectionError("no route"))

    step = step_of(run_of(owner, harness), "allocate_storage")

    assert (step["attempts"], step["attemptStartedAt"], step["attemptDeadlineAt"]) == (1, None, None)
    assert step["nextAttemptAt"] is not None


def stamp(at: datetime | None) -> str:
    assert at is not None
    return at.isoformat().replace("+00:00", "Z")
