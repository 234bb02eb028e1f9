"""The deployer behind an HTTP address. ``docs/deployer.md`` is its contract."""

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from math import isnan
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from adapters.external_text import message_from
from adapters.guarded_calls import NEVER_STOPS, CallTimeout, call_interruptibly
from adapters.retry_after import retry_after
from provisioning.ports import Health, Refused, Scarce, StopToken, TearDown, TryAgain, WorkloadOrder
from provisioning.resource_names import ResourceNames
from provisioning.step_context import current_stop_token
from runtime.masking import remember_secrets

CALL_TIMEOUT = 10.0
"""Seconds for one call from beginning to end."""

MAX_RESPONSE_BYTES = 64 * 1024
"""Bytes of a response that are read at most, because a deployer might send without end."""

RETRYABLE_STATUSES = {408, 409, 425, 429}
GONE = {404, 410}


class DeployerError(TryAgain):
    """The deployer did not respond, or its response does not follow the contract."""


class DeployerBusy(DeployerError, Scarce):
    """The deployer has no capacity at the moment, or limits the rate of requests."""


@dataclass(frozen=True, slots=True)
class DeployerResponse:
    """A response of the deployer."""

    status: int
    body: bytes
    retry_after: timedelta | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises DeployerError."""
        if (document := self._object()) is None:
            raise DeployerError(f"The deployer responded {self.status} with a body that is not a JSON object.")
        return document

    @property
    def percent(self) -> int | None:
        """The reported percentage; None if the response has none."""
        document = self._object() or {}
        return _percent(document) if "percent" in document else None

    @property
    def message(self) -> str:
        """The message of the response, short enough for the timeline."""
        return self.text_of("message") or "no explanation"

    def text_of(self, *fields: str) -> str:
        """The first of these fields that has a value, or a body that cannot be read; short enough for the timeline."""
        if (document := self._object()) is None:
            return message_from(self.body.decode(errors="replace"))
        return message_from(str(next(filter(None, map(document.get, fields)), "")))

    def _object(self) -> dict[str, Any] | None:
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None


class HttpDeployer:
    """Makes each call in a separate thread, so that a cancel never waits for the deployer."""

    def __init__(self, address: str, token: SecretStr, *, call_timeout: float = CALL_TIMEOUT) -> None:
        self._call_timeout = call_timeout
        self._client = httpx.Client(
            base_url=address,
            timeout=httpx.Timeout(call_timeout, connect=min(3.0, call_timeout)),
            # The size of a response is limited, so it must not be compressed.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"} | _authorization(token),
        )

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Request the workload. Raises Refused when the deployer refuses it permanently, DeployerError otherwise."""
        _accept(self._call(stop_token, self._request("POST", "workloads", order)))

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """Request the status. For a while a deployer may not know the workload that it has accepted."""
        response = self._call(stop_token, self._request("GET", _path(names)))
        if response.status == 404:
            return Health(ready=False, percent=0, summary="The deployer does not know the workload yet.")
        return _health(_accept(response).document)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> TearDown:
        """Delete the workload, then request its status: only 404 or 410 confirms that it is absent."""
        response = self._call(stop_token, self._request("DELETE", _path(names)))
        if response.status not in GONE:
            _accept(response)
        return _tear_down(self._call(stop_token, self._request("GET", _path(names))))

    def present(self, names: ResourceNames) -> list[str]:
        """Return the workload's name if the deployer knows it."""
        stop_token = current_stop_token.get() or NEVER_STOPS
        exists = _exists(self._call(stop_token, self._request("GET", _path(names))))
        return [names.workload] if exists else []

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, method: str, path: str, order: WorkloadOrder | None = None) -> httpx.Request:
        if order is None:
            return self._client.build_request(method, path)
        headers = {"Idempotency-Key": order.names.workload}
        return self._client.build_request(method, path, json=_document(order), headers=headers)

    def _call(self, stop_token: StopToken, request: httpx.Request) -> DeployerResponse:
        try:
            return call_interruptibly(lambda: self._send(request), stop_token, within=self._call_timeout)
        except CallTimeout as error:
            raise DeployerError(f"The deployer did not respond: {error}") from error

    def _send(self, request: httpx.Request) -> DeployerResponse:
        deadline = time.monotonic() + self._call_timeout
        try:
            response = self._client.send(request, stream=True)
            try:
                return DeployerResponse(response.status_code, _read(response, deadline), retry_after(response.headers))
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise DeployerError(
                f"The deployer did not respond: {message_from(str(error)) or type(error).__name__}"
            ) from error


def _read(response: httpx.Response, deadline: float) -> bytes:
    """Read the response up to the size limit, before the deadline. The timeout of the library is per read."""
    body = bytearray()
    for block in response.iter_raw():
        body += block
        if len(body) >= MAX_RESPONSE_BYTES:
            break
        if time.monotonic() > deadline:
            raise DeployerError("The deployer did not respond: its response was not complete in time.")
    return bytes(body[:MAX_RESPONSE_BYTES])


def _authorization(token: SecretStr) -> dict[str, str]:
    secret = token.get_secret_value()
    remember_secrets([secret])
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


def _accept(response: DeployerResponse) -> DeployerResponse:
    if 200 <= response.status < 300:
        return response
    if 400 <= response.status < 500 and response.status not in RETRYABLE_STATUSES:
        raise Refused(f"The deployer refused the request ({response.status}): {response.message}")
    message = f"The deployer responded {response.status}: {response.message}"
    if response.status == 429 or (response.status == 503 and response.retry_after):
        raise DeployerBusy(message, retry_after=response.retry_after)
    raise DeployerError(message, retry_after=response.retry_after)


def _exists(response: DeployerResponse) -> bool:
    if response.status in GONE:
        return False
    _accept(response)
    return True


def _tear_down(response: DeployerResponse) -> TearDown:
    """Return whether the workload is gone; otherwise with the deployer's words, which need not keep to the contract."""
    if not _exists(response):
        return TearDown(gone=True, summary="The workload is gone.")
    words = response.text_of("message", "status")
    summary = f"The deployer says: {words}" if words else "The deployer still has the workload."
    return TearDown(gone=False, summary=summary, percent=response.percent)


def _health(document: dict[str, Any]) -> Health:
    summary = message_from(str(document.get("message") or ""))
    match document.get("status"):
        case "ready":
            return Health(ready=True, percent=100, summary=summary or "The workload is ready.")
        case "starting":
            return Health(ready=False, percent=_percent(document), summary=summary or "The workload is starting.")
        case "failed":
            raise Refused(f"The deployer reports that the workload failed: {summary or 'no explanation'}")
        case other:
            raise DeployerError(
                f"The deployer reports a status that is not in the contract: {message_from(repr(other))}"
            )


def _percent(document: dict[str, Any]) -> int:
    """Return the reported percentage, at most 99: only the status says that the workload is ready."""
    percent = document.get("percent")
    if not isinstance(percent, int | float) or isnan(percent):
        return 0
    return int(min(99, max(0, percent)))
