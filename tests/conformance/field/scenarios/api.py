"""Scenarios in which the API process dies."""

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.field.api_clients import accepted
from tests.conformance.field.failpoints import Answers
from tests.conformance.field.scenario import ScenarioHarness, scenario

CRASH_BEFORE = ("validate_request", "allocate_storage", "apply_schema", "deploy_workloads")
"""Steps before which the run waits without a lease when the API dies."""


@scenario(without="no_sweeper", breaks="V13")
def cancel_api_crash_after_commit(harness: ScenarioHarness) -> str:
    """The API dies between the commit of a cancel and its wake-up: the cancel takes effect, a retry gets its answer."""
    for step in CRASH_BEFORE[1:2] if harness.reduced else CRASH_BEFORE:
        api = harness.testbed.api
        assert api is not None, "the testbed has started the API"
        saga, gate = harness.create_halted("before claim", step=step)
        gate.await_first()
        crash = harness.testbed.controller.halt_at("before deliver", pid=api.process.pid)
        with ThreadPoolExecutor(1) as client:
            cancel = client.submit(harness.owner.cancel, saga, reason="before the crash")
            crash.await_first()
            crash.release(Answers.DIE)
            api.process.wait()
            harness.testbed.start_api()
            answer = cancel.result()
        assert accepted(answer), f"V5: it was accepted before the crash, and now {answer['userErrors']}"
        assert not answer["alreadyRequested"], "V7: the idempotency key was lost"
        harness.checker.record_answer(saga, answer, "the owner")
        gate.release()
        harness.checker.await_run(saga, "CANCELLED", within=harness.within(60))
    harness.await_all_runs()
    return f"{1 if harness.reduced else len(CRASH_BEFORE)} crashes"
