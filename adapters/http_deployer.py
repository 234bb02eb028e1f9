"""The deployer behind an HTTP address. ``docs/deployer.md`` is its contract."""

import json
import time
from dataclasses import dataclass
from math import isnan
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from adapters.external_text import single_line
from adapters.guarded_calls import NEVER_STOPS, CallTimeout, call_interruptibly
from provisioning.ports import Health, Refused, StopToken, TryAgain, WorkloadOrder
from provisioning.resource_names import ResourceNames
from provisioning.step_context import current_stop_token

ANSWER_WITHIN = 10.0
"""Seconds for one call from beginning to end."""

LONGEST_ANSWER = 64 * 1024
"""Bytes that are read of an answer: a deployer that talks without end is cut off."""

WORTH_ANOTHER_TRY = {408, 409, 425, 429}
GONE = {404, 410}


class DeployerUnwell(TryAgain):
    """The deployer did not answer, or not sensibly."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises DeployerUnwell."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise DeployerUnwell(f"The deployer answered {self.status} with something that is not a JSON object.")
        return document

    @property
    def words(self) -> str:
        """What it says, short enough to be shown."""
        try:
            said = str(self.document.get("message", ""))
        except DeployerUnwell:
            said = self.body.decode(errors="replace")
        return single_line(said) or "no explanation"


class HttpDeployer:
    """Calls run on a thread of their own, so that a cancel never waits for the deployer."""

    def __init__(self, address: str, token: SecretStr, *, answer_within: float = ANSWER_WITHIN) -> None:
        self._answer_within = answer_within
        self._client = httpx.Client(
            base_url=address,
            timeout=httpx.Timeout(answer_within, connect=min(3.0, answer_within)),
            # What may be read is bounded, so nothing may come compressed.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"} | _authorization(token),
        )

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Ask for the workload. Raises Refused when the deployer says no for good, DeployerUnwell otherwise."""
        _accept(self._ask(stop_token, self._request("POST", "workloads", order)))

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """Ask how far it is. A deployer may take a while until it knows the workload that it accepted."""
        answer = self._ask(stop_token, self._request("GET", _path(names)))
        if answer.status == 404:
            return Health(ready=False, percent=0, summary="The deployer does not know the workload yet.")
        return _health(_accept(answer).document)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        """Ask to take it away, then ask whether it is gone: only a 404 or 410 is believed."""
        answer = self._ask(stop_token, self._request("DELETE", _path(names)))
        if answer.status not in GONE:
            _accept(answer)
        return not _is_there(self._ask(stop_token, self._request("GET", _path(names))))

    def present(self, names: ResourceNames) -> list[str]:
        """Give the workload, if the deployer knows it."""
        stop_token = current_stop_token.get() or NEVER_STOPS
        there = _is_there(self._ask(stop_token, self._request("GET", _path(names))))
        return [names.workload] if there else []

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _request(self, method: str, path: str, order: WorkloadOrder | None = None) -> httpx.Request:
        if order is None:
            return self._client.build_request(method, path)
        headers = {"Idempotency-Key": order.names.workload}
        return self._client.build_request(method, path, json=_document(order), headers=headers)

    def _ask(self, stop_token: StopToken, request: httpx.Request) -> Answer:
        try:
            return call_interruptibly(lambda: self._send(request), stop_token, within=self._answer_within)
        except CallTimeout as error:
            raise DeployerUnwell(f"The deployer does not answer: {error}") from error

    def _send(self, request: httpx.Request) -> Answer:
        deadline = time.monotonic() + self._answer_within
        try:
            response = self._client.send(request, stream=True)
            try:
                return Answer(response.status_code, _read(response, deadline))
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise DeployerUnwell(
                f"The deployer does not answer: {single_line(str(error)) or type(error).__name__}"
            ) from error


def _read(response: httpx.Response, deadline: float) -> bytes:
    """Read an answer to its end, or as much of it as may be. The library limits each read, and not all of them."""
    body = bytearray()
    for block in response.iter_raw():
        body += block
        if len(body) >= LONGEST_ANSWER:
            break
        if time.monotonic() > deadline:
            raise DeployerUnwell("The deployer does not answer: it began to in time, and did not end.")
    return bytes(body[:LONGEST_ANSWER])


def _authorization(token: SecretStr) -> dict[str, str]:
    secret = token.get_secret_value()
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _path(names: ResourceNames) -> str:
    return f"workloads/{quote(names.workload, safe='')}"


def _document(order: WorkloadOrder) -> dict[str, str]:
    return {
        "name": order.names.workload,
        "tenant_id": str(order.names.tenant_id),
        "tenant": order.tenant_slug,
        "organisation": order.organisation_slug,
        "region": order.region,
        "plan": order.plan,
        "host_name": order.host_name,
        "storage_schema": order.names.schema,
        "signing_key": order.names.signing_key,
    }


def _accept(answer: Answer) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    if 400 <= answer.status < 500 and answer.status not in WORTH_ANOTHER_TRY:
        raise Refused(f"The deployer refuses ({answer.status}): {answer.words}")
    raise DeployerUnwell(f"The deployer answered {answer.status}: {answer.words}")


def _is_there(answer: Answer) -> bool:
    if answer.status in GONE:
        return False
    _accept(answer)
    return True


def _health(document: dict[str, Any]) -> Health:
    summary = single_line(str(document.get("message") or ""))
    match document.get("status"):
        case "ready":
            return Health(ready=True, percent=100, summary=summary or "The workload is ready.")
        case "starting":
            return Health(ready=False, percent=_percent(document), summary=summary or "The workload is starting.")
        case "failed":
            raise Refused(f"The deployer says that the workload failed: {summary or 'no explanation'}")
        case other:
            raise DeployerUnwell(
                f"The deployer reports a status that the contract does not know: {single_line(repr(other))}"
            )


def _percent(document: dict[str, Any]) -> int:
    """Take it as it comes, but never as done: only the status says that."""
    percent = document.get("percent")
    if not isinstance(percent, int | float) or isnan(percent):
        return 0
    return int(min(99, max(0, percent)))
