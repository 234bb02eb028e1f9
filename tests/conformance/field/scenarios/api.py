"""When the API dies."""

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.field.failpoints import Answers
from tests.conformance.field.people import accepted
from tests.conformance.field.scenario import Play, scenario

BETWEEN = ("validate_request", "allocate_storage", "apply_schema", "deploy_workloads")
"""Steps before which a run waits, and nobody owns it."""


@scenario(without="no_sweeper", breaks="V13")
def cancel_api_crash_after_commit(play: Play) -> str:
    """The API dies between the commit of a cancel and its wake-up: the cancel is carried out, and answered anew."""
    for step in BETWEEN[1:2] if play.hurried else BETWEEN:
        api = play.field.api
        assert api is not None, "somebody started it"
        saga, gate = play.create_halting("before claim", step=step)
        gate.await_one()
        crash = play.field.director.hold("before deliver", pid=api.process.pid)
        with ThreadPoolExecutor(1) as client:
            asked = client.submit(play.owner.cancel, saga, reason="before the crash")
            crash.await_one()
            crash.let_go(Answers.DIE)
            api.process.wait()
            play.field.start_api()
            answer = asked.result()
        assert accepted(answer), f"V5: it was accepted before the crash, and now {answer['userErrors']}"
        assert not answer["alreadyRequested"], "V7: the key was forgotten"
        play.checker.heard(saga, answer, "the owner")
        gate.let_go()
        play.checker.await_run(saga, "CANCELLED", within=play.within(60))
    play.settle()
    return f"{1 if play.hurried else len(BETWEEN)} crashes"
