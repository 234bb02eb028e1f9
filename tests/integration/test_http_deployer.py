"""The HTTP deployer handles a remote that is slow, fails, hangs or lies, without delaying a cancel."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from adapters.http_deployer import DeployerError, HttpDeployer
from provisioning.error_messages import describe
from provisioning.ports import Health, Refused, TearDown
from provisioning.resource_names import ResourceNames
from provisioning.scarcity import is_scarcity, retry_after
from provisioning.step_context import StepStopped, current_stop_token
from tests.builders import ManualStopToken, fresh_names, order_for
from tests.local_deployer import LocalDeployer, local_deployer
from tests.waiting import wait_until


@pytest.fixture
def remote() -> Iterator[LocalDeployer]:
    with local_deployer() as deployer:
        yield deployer


@pytest.fixture
def deployer(remote: LocalDeployer) -> Iterator[HttpDeployer]:
    built = HttpDeployer(remote.address, SecretStr("let me in"), call_timeout=5)
    yield built
    built.close()


def deploy(deployer: HttpDeployer, names: ResourceNames) -> None:
    deployer.deploy(order_for(names), ManualStopToken())


def test_the_order_carries_the_tenant_and_the_key_of_the_run(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()

    deploy(deployer, names)

    [request] = remote.received
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


def test_the_path_of_the_deployers_url_is_kept(remote: LocalDeployer) -> None:
    deployer = HttpDeployer(f"{remote.address}/v1/", SecretStr(""))

    deploy(deployer, fresh_names())
    deployer.close()

    [request] = remote.received
    assert request.path == "/v1/workloads"
    assert "authorization" not in request.headers


def test_health_is_reported_until_the_workload_is_ready(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    remote.probes_until_ready = 2
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
def test_a_permanent_error_is_refused_with_the_deployers_message(
    remote: LocalDeployer, deployer: HttpDeployer, status: int
) -> None:
    remote.replies_without_effect.append((status, json.dumps({"message": "No room\n\0in \ud800eu-central."}).encode()))

    with pytest.raises(Refused) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == f"The deployer refused the request ({status}): No room in eu-central."


@pytest.mark.parametrize("status", [301, 408, 409, 425, 429, 500, 502, 503])
def test_a_transient_error_is_not_refused(remote: LocalDeployer, deployer: HttpDeployer, status: int) -> None:
    remote.replies_without_effect.append((status, b"busy"))

    with pytest.raises(DeployerError) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == f"The deployer responded {status}: busy"


@pytest.mark.parametrize(
    ("status", "header", "scarce", "wait"),
    [
        (429, "", True, None),
        (429, "30", True, 30),
        (503, "30", True, 30),
        (503, "", False, None),
        (502, "30", False, 30),
        (409, "7", False, 7),
        (429, "999999999999999999999", True, 3600),
        (429, "soon", True, None),
    ],
)
def test_the_time_that_the_deployer_asks_to_wait_is_kept(
    remote: LocalDeployer, deployer: HttpDeployer, *, status: int, header: str, scarce: bool, wait: int | None
) -> None:
    remote.headers = {"Retry-After": header} if header else {}
    remote.replies_without_effect.append((status, b"busy"))

    with pytest.raises(DeployerError) as refusal:
        deploy(deployer, fresh_names())

    assert is_scarcity(refusal.value) is scarce
    assert retry_after(refusal.value) == (timedelta(seconds=wait) if wait else None)


def test_the_deployers_message_is_truncated(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    remote.replies_without_effect.append((422, b"x" * 5000))

    with pytest.raises(Refused) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == f"The deployer refused the request (422): {'x' * 300}"


def test_a_deployment_whose_reply_failed_is_repeated_without_a_second_workload(
    remote: LocalDeployer, deployer: HttpDeployer
) -> None:
    names = fresh_names()
    remote.replies_after_effect.append((502, b"the proxy lost the answer"))
    with pytest.raises(DeployerError):
        deploy(deployer, names)

    deploy(deployer, names)

    assert list(remote.workloads) == [names.workload]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", DeployerError),
        (b"[]", DeployerError),
        (b"", DeployerError),
        (b'{"status": "perhaps"}', DeployerError),
        (b"{" + b" " * 200_000 + b"}", DeployerError),
        (b'{"a":' * 9_000, DeployerError),
        (b'{"status": "failed", "message": "No such image."}', Refused),
    ],
    ids=["html", "list", "empty", "unknown status", "too long", "nested", "failed"],
)
def test_an_invalid_or_failed_health_reply_raises(
    remote: LocalDeployer, deployer: HttpDeployer, body: bytes, error: type[Exception]
) -> None:
    remote.replies_without_effect.append((200, body))

    with pytest.raises(error):
        deployer.health(fresh_names(), ManualStopToken())


@pytest.mark.parametrize(
    ("percent", "shown"),
    [(-5, 0), (250, 99), (12.7, 12), ("half", 0), (None, 0), (float("nan"), 0), (float("inf"), 99)],
)
def test_percent_is_clamped_to_its_range(
    remote: LocalDeployer, deployer: HttpDeployer, percent: Any, shown: int
) -> None:
    remote.replies_without_effect.append((200, json.dumps({"status": "starting", "percent": percent}).encode()))

    assert deployer.health(fresh_names(), ManualStopToken()) == Health(
        ready=False, percent=shown, summary="The workload is starting."
    )


def test_a_deletion_is_confirmed_when_the_workload_is_not_found(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    deploy(deployer, names)

    confirmed = deployer.tear_down(names, ManualStopToken())

    assert confirmed
    assert remote.methods() == ["POST", "DELETE", "GET"]


def test_a_deletion_is_not_confirmed_while_the_workload_is_found(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    remote.ignores_deletes = True
    deploy(deployer, names)

    confirmed = deployer.tear_down(names, ManualStopToken())

    assert not confirmed
    assert deployer.present(names) == [names.workload]


@pytest.mark.parametrize(
    ("answer", "summary", "percent"),
    [
        ({"status": "terminating"}, "The deployer says: terminating", None),
        (
            {"status": "terminating", "message": "2 pods are left", "percent": 40},
            "The deployer says: 2 pods are left",
            40,
        ),
        ({"message": "2 pods\r\nare left", "percent": 400}, "The deployer says: 2 pods are left", 99),
        ({}, "The deployer still has the workload.", None),
        ([], "The deployer says: []", None),
        ("still terminating", "The deployer says: still terminating", None),
        ("", "The deployer still has the workload.", None),
        ({"message": None, "status": 0}, "The deployer still has the workload.", None),
    ],
)
def test_the_words_of_the_deployer_during_a_tear_down_are_kept(
    remote: LocalDeployer, deployer: HttpDeployer, answer: object, summary: str, percent: int | None
) -> None:
    body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
    remote.replies_without_effect.extend([(202, b""), (200, body)])

    result = deployer.tear_down(fresh_names(), ManualStopToken())

    assert result == TearDown(gone=False, summary=summary, percent=percent)
    assert not result


def test_a_failed_probe_after_a_deletion_does_not_confirm_absence(
    remote: LocalDeployer, deployer: HttpDeployer
) -> None:
    names = fresh_names()
    deploy(deployer, names)
    remote.replies_without_effect.extend([(204, b""), (503, b"restarting")])

    with pytest.raises(DeployerError):
        deployer.tear_down(names, ManualStopToken())


def test_an_order_that_arrives_after_the_deletion_is_refused(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    names = fresh_names()
    deployer.tear_down(names, ManualStopToken())

    with pytest.raises(Refused) as refusal:
        deploy(deployer, names)

    assert str(refusal.value) == "The deployer refused the request (410): It was deleted."
    assert remote.workloads == {}


def test_a_cancel_ends_a_deployment_to_a_hanging_deployer(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    names, stop_token = fresh_names(), ManualStopToken()
    remote.hanging = True

    with ThreadPoolExecutor() as pool:
        deployment = pool.submit(deployer.deploy, order_for(names), stop_token)
        wait_until(lambda: remote.received)
        stopped_at = time.monotonic()
        stop_token.stop()
        with pytest.raises(StepStopped):
            deployment.result(5)

    assert time.monotonic() - stopped_at < 1


def test_a_deployment_that_arrives_after_its_tear_down_is_refused(
    remote: LocalDeployer, deployer: HttpDeployer
) -> None:
    names, stop_token = fresh_names(), ManualStopToken()
    remote.hanging = True
    with ThreadPoolExecutor() as pool:
        deployment = pool.submit(deployer.deploy, order_for(names), stop_token)
        wait_until(lambda: remote.received)
        stop_token.stop()
        with pytest.raises(StepStopped):
            deployment.result(5)
    remote.hanging = False

    confirmed = deployer.tear_down(names, ManualStopToken())
    remote.resumed.set()
    wait_until(lambda: remote.answered == 3)

    assert confirmed
    assert remote.workloads == {}


def test_a_call_to_a_hanging_deployer_times_out(remote: LocalDeployer) -> None:
    remote.hanging = True
    deployer = HttpDeployer(remote.address, SecretStr(""), call_timeout=0.3)

    with pytest.raises(DeployerError):
        deploy(deployer, fresh_names())

    remote.resumed.set()
    deployer.close()


IN_THE_BODY = b"HTTP/1.1 200 OK\r\n\r\n"
IN_A_HEADER = b"HTTP/1.1 200 OK\r\nX-Slow: "


@pytest.mark.parametrize("endless_reply", [IN_THE_BODY, IN_A_HEADER], ids=["body", "header"])
@pytest.mark.parametrize("method", ["present", "health"])
def test_a_call_with_an_endless_reply_times_out(remote: LocalDeployer, endless_reply: bytes, method: str) -> None:
    remote.endless_reply = endless_reply
    deployer = HttpDeployer(remote.address, SecretStr(""), call_timeout=0.3)
    started_at = time.monotonic()

    with pytest.raises(DeployerError, match="did not respond"):
        deployer.present(fresh_names()) if method == "present" else deployer.health(fresh_names(), ManualStopToken())

    assert time.monotonic() - started_at < 2
    remote.resumed.set()
    deployer.close()


def test_the_connection_of_an_endless_reply_is_closed(remote: LocalDeployer) -> None:
    remote.endless_reply = IN_THE_BODY
    deployer = HttpDeployer(remote.address, SecretStr(""), call_timeout=0.3)

    with pytest.raises(DeployerError):
        deployer.present(fresh_names())

    assert remote.client_disconnected.wait(5)
    deployer.close()


def test_a_cancel_ends_a_presence_probe_of_a_hanging_deployer(remote: LocalDeployer, deployer: HttpDeployer) -> None:
    remote.hanging = True
    stop_token = ManualStopToken()

    def probe() -> None:
        current_stop_token.set(stop_token)
        deployer.present(fresh_names())

    with ThreadPoolExecutor() as pool:
        probing = pool.submit(probe)
        wait_until(lambda: remote.received)
        stopped_at = time.monotonic()
        stop_token.stop()
        with pytest.raises(StepStopped):
            probing.result(5)

    assert time.monotonic() - stopped_at < 1


@pytest.mark.parametrize(
    "token", ["s3cret-of-the-deployer\n", "s3cret-of-the-deployer\r\nX-More: 1", "s3cret-of-the-deployer\u20ac"]
)
def test_a_token_that_cannot_be_sent_is_not_in_the_error(remote: LocalDeployer, token: str) -> None:
    with pytest.raises(Exception) as failure:  # noqa: PT011  # any error that the library raises for it
        deploy(HttpDeployer(remote.address, SecretStr(token)), fresh_names())

    assert "s3cret" not in describe(failure.value)


def test_a_deployer_that_repeats_the_token_does_not_put_it_on_record(
    remote: LocalDeployer, deployer: HttpDeployer
) -> None:
    said = {"message": "'Bearer let me in' of ada@acme.example is not valid"}
    remote.replies_without_effect.append((403, json.dumps(said).encode()))

    with pytest.raises(Refused) as refusal:
        deploy(deployer, fresh_names())

    assert str(refusal.value) == "The deployer refused the request (403): 'Bearer ***' of ***@acme.example is not valid"
