"""Any deployer behind HTTP: slow, failing, hanging or lying, it neither delays a cancel nor is believed too early."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from adapters.http_deployer import DeployerUnwell, HttpDeployer
from provisioning.ports import Health, Refused
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped, current_stop_token
from tests.builders import ManualStopToken, fresh_names, order_for
from tests.local_deployer import LocalDeployer, local_deployer
from tests.waiting import wait_until


@pytest.fixture
def there() -> Iterator[LocalDeployer]:
    with local_deployer() as deployer:
        yield deployer


@pytest.fixture
def deployer(there: LocalDeployer) -> Iterator[HttpDeployer]:
    here = HttpDeployer(there.address, SecretStr("let me in"), answer_within=5)
    yield here
    here.close()


def deploy(deployer: HttpDeployer, names: ResourceNames) -> None:
    deployer.deploy(order_for(names), ManualStopToken())


def test_the_order_carries_the_tenant_and_the_key_of_the_run(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()

    deploy(deployer, names)

    [request] = there.received
    assert (request.method, request.path) == ("POST", "/workloads")
    assert request.headers["idempotency-key"] == names.workload
    assert request.headers["authorization"] == "Bearer let me in"
    assert request.document == {
        "name": names.workload,
        "tenant_id": str(names.tenant_id),
        "tenant": "shop",
        "organisation": "acme",
        "region": "eu-central",
        "plan": "pro",
        "host_name": f"{names.address}.localhost",
        "storage_schema": names.schema,
        "signing_key": names.signing_key,
    }


def test_an_address_with_a_path_is_kept(there: LocalDeployer) -> None:
    deployer = HttpDeployer(f"{there.address}/v1/", SecretStr(""))

    deploy(deployer, fresh_names())
    deployer.close()

    [request] = there.received
    assert request.path == "/v1/workloads"
    assert "authorization" not in request.headers


def test_health_is_passed_on_until_it_is_ready(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    there.probes_until_ready = 2
    deploy(deployer, names)

    seen = [deployer.health(names, ManualStopToken()) for _ in range(2)]

    assert seen == [
        Health(ready=False, percent=40, summary="1 of 2 pods is up."),
        Health(ready=True, percent=100, summary="All pods are up."),
    ]


def test_a_workload_that_the_deployer_does_not_know_yet_is_not_ready(deployer: HttpDeployer) -> None:
    assert deployer.health(fresh_names(), ManualStopToken()) == Health(
        ready=False, percent=0, summary="The deployer does not know the workload yet."
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_no_for_good_is_refused_in_the_deployers_words(
    there: LocalDeployer, deployer: HttpDeployer, status: int
) -> None:
    there.instead.append((status, json.dumps({"message": "No room\n\0in \ud800eu-central."}).encode()))

    with pytest.raises(Refused) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == f"The deployer refuses ({status}): No room in eu-central."


@pytest.mark.parametrize("status", [301, 408, 409, 425, 429, 500, 502, 503])
def test_what_may_pass_is_not_refused(there: LocalDeployer, deployer: HttpDeployer, status: int) -> None:
    there.instead.append((status, b"busy"))

    with pytest.raises(DeployerUnwell) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == f"The deployer answered {status}: busy"


def test_its_words_are_cut_to_what_can_be_shown(there: LocalDeployer, deployer: HttpDeployer) -> None:
    there.instead.append((422, b"x" * 5000))

    with pytest.raises(Refused) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == f"The deployer refuses (422): {'x' * 300}"


def test_a_failure_after_the_effect_is_mended_by_asking_again(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    there.afterwards.append((502, b"the proxy lost the answer"))
    with pytest.raises(DeployerUnwell):
        deploy(deployer, names)

    deploy(deployer, names)

    assert list(there.workloads) == [names.workload]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", DeployerUnwell),
        (b"[]", DeployerUnwell),
        (b"", DeployerUnwell),
        (b'{"status": "perhaps"}', DeployerUnwell),
        (b"{" + b" " * 200_000 + b"}", DeployerUnwell),
        (b'{"a":' * 9_000, DeployerUnwell),
        (b'{"status": "failed", "message": "No such image."}', Refused),
    ],
    ids=["html", "list", "nothing", "unknown status", "endless", "nested", "failed"],
)
def test_health_that_makes_no_sense_is_not_believed(
    there: LocalDeployer, deployer: HttpDeployer, body: bytes, error: type[Exception]
) -> None:
    there.instead.append((200, body))

    with pytest.raises(error):
        deployer.health(fresh_names(), ManualStopToken())


@pytest.mark.parametrize(
    ("percent", "shown"),
    [(-5, 0), (250, 99), (12.7, 12), ("half", 0), (None, 0), (float("nan"), 0), (float("inf"), 99)],
)
def test_percent_is_brought_into_range(there: LocalDeployer, deployer: HttpDeployer, percent: Any, shown: int) -> None:
    there.instead.append((200, json.dumps({"status": "starting", "percent": percent}).encode()))

    assert deployer.health(fresh_names(), ManualStopToken()) == Health(
        ready=False, percent=shown, summary="The workload is starting."
    )


def test_a_deletion_is_believed_when_the_workload_is_not_found(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    deploy(deployer, names)

    gone = deployer.tear_down(names, ManualStopToken())

    assert gone
    assert there.methods() == ["POST", "DELETE", "GET"]


def test_a_deletion_that_is_only_claimed_is_not_believed(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    there.keeps_what_it_deletes = True
    deploy(deployer, names)

    gone = deployer.tear_down(names, ManualStopToken())

    assert not gone
    assert deployer.present(names) == [names.workload]


def test_a_look_that_fails_after_a_deletion_is_not_absence(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    deploy(deployer, names)
    there.instead.extend([(204, b""), (503, b"restarting")])

    with pytest.raises(DeployerUnwell):
        deployer.tear_down(names, ManualStopToken())


def test_an_order_that_arrives_after_the_deletion_is_refused(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    deployer.tear_down(names, ManualStopToken())

    with pytest.raises(Refused) as refusal:
        deploy(deployer, names)

    assert str(refusal.value) == "The deployer refuses (410): It was deleted."
    assert there.workloads == {}


def test_a_cancel_does_not_wait_for_a_deployer_that_hangs(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names, stop_token = fresh_names(), ManualStopToken()
    there.hanging = True

    with ThreadPoolExecutor() as pool:
        deployment = pool.submit(deployer.deploy, order_for(names), stop_token)
        wait_until(lambda: there.received)
        told = time.monotonic()
        stop_token.stop()
        with pytest.raises(StepStopped):
            deployment.result(5)

    assert time.monotonic() - told < 1


def test_what_an_abandoned_call_brings_about_late_is_refused(there: LocalDeployer, deployer: HttpDeployer) -> None:
    names, stop_token = fresh_names(), ManualStopToken()
    there.hanging = True
    with ThreadPoolExecutor() as pool:
        deployment = pool.submit(deployer.deploy, order_for(names), stop_token)
        wait_until(lambda: there.received)
        stop_token.stop()
        with pytest.raises(StepStopped):
            deployment.result(5)
    there.hanging = False

    gone = deployer.tear_down(names, ManualStopToken())
    there.let_go.set()
    wait_until(lambda: there.answered == 3)

    assert gone
    assert there.workloads == {}


def test_a_deployer_that_hangs_is_given_up_in_time(there: LocalDeployer) -> None:
    there.hanging = True
    deployer = HttpDeployer(there.address, SecretStr(""), answer_within=0.3)

    with pytest.raises(DeployerUnwell):
        deploy(deployer, fresh_names())

    there.let_go.set()
    deployer.close()


IN_THE_BODY = b"HTTP/1.1 200 OK\r\n\r\n"
IN_A_HEADER = b"HTTP/1.1 200 OK\r\nX-Slow: "


@pytest.mark.parametrize("dripping", [IN_THE_BODY, IN_A_HEADER], ids=["body", "header"])
@pytest.mark.parametrize("ask", ["present", "health"])
def test_a_deployer_that_answers_without_end_is_given_up_in_time(
    there: LocalDeployer, dripping: bytes, ask: str
) -> None:
    there.dripping = dripping
    deployer = HttpDeployer(there.address, SecretStr(""), answer_within=0.3)
    began = time.monotonic()

    with pytest.raises(DeployerUnwell, match="does not answer"):
        deployer.present(fresh_names()) if ask == "present" else deployer.health(fresh_names(), ManualStopToken())

    assert time.monotonic() - began < 2
    there.let_go.set()
    deployer.close()


def test_an_answer_without_end_is_hung_up_on(there: LocalDeployer) -> None:
    there.dripping = IN_THE_BODY
    deployer = HttpDeployer(there.address, SecretStr(""), answer_within=0.3)

    with pytest.raises(DeployerUnwell):
        deployer.present(fresh_names())

    assert there.left.wait(5)
    deployer.close()


def test_a_look_outside_does_not_outstay_a_cancel(there: LocalDeployer, deployer: HttpDeployer) -> None:
    there.hanging = True
    stop_token = ManualStopToken()

    def look() -> None:
        current_stop_token.set(stop_token)
        deployer.present(fresh_names())

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        wait_until(lambda: there.received)
        told = time.monotonic()
        stop_token.stop()
        with pytest.raises(StepStopped):
            looking.result(5)

    assert time.monotonic() - told < 1
