"""The demonstration of one tenant: created, watched, cancelled in flight, undone completely, retried, active."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from devserver import documents
from devserver.client import Client, Facts, Stream
from devserver.demo_checks import Checks
from devserver.errors import DevserverError
from devserver.terminal_view import TerminalView, newest_run
from runtime.connections import connect

SLUG = "lovelace"
REASON = "wrong plan, says the customer"
CANCEL_DURING = ("deploy_workloads", "await_readiness")
MAIL_TIMEOUT_SECONDS = 15.0
REQUESTS_IN_BUDGET = 25
"""How many requests the undo of all steps may take. On a busy machine, where a request takes long, the budget grows."""


@dataclass
class DemoScenario:
    """Plays once, in the order of its methods, through the public API, the edge, the mails and Postgres."""

    client: Client
    view: TerminalView
    database_url: str
    mails: Path
    budget: float
    checks: Checks = field(default_factory=Checks)

    def play(self) -> None:
        """Run the demonstration. Raises DevserverError when it cannot continue."""
        tenant = self._create()
        self._cancel_in_flight(tenant["id"])
        self._check_that_nothing_is_held(tenant)
        self._check_the_feed(tenant["id"])
        self._retry(tenant["id"])
        self._check_its_address(tenant)
        self._check_the_welcome_mail()

    def _create(self) -> Facts:
        self.view.chapter("Create a tenant and watch it being provisioned")
        arguments = {"slug": SLUG, "plan": "starter", "firstAdminEmail": "ada@example.com"}
        answer = _accepted(self.client.execute(documents.CREATE, input=arguments), "createTenant")
        tenant: Facts = answer["tenant"]
        self.view.line(f"{tenant['url']} is being provisioned, run {answer['run']['number']}.")
        self._check("A new tenant is PROVISIONING at once", tenant["state"] == "PROVISIONING", tenant["state"])
        return tenant

    def _cancel_in_flight(self, tenant_id: str) -> None:
        with self._watching(tenant_id) as seen:
            arrived = _until(seen, lambda entry: entry["kind"] == "STEP_STARTED" and entry["step"] in CANCEL_DURING)
            self.view.chapter(f"Cancel while {arrived[-1].entry['step']} is running")
            sent_at = time.perf_counter()
            answer = self.client.execute(documents.CANCEL, input={"tenantId": tenant_id, "reason": REASON})
            reply = time.perf_counter() - sent_at
            arrived += _until(seen, lambda entry: entry["kind"] == "RUN_FINISHED")
        entries = [arrival.entry for arrival in arrived]
        in_flight = self._check_that_it_was_accepted(_accepted(answer, "cancelProvisioning"), reply)
        self._check_the_order_of_the_undo(entries, in_flight)
        self._check_the_duration(entries, arrived[-1].at - sent_at, self._request_time(tenant_id))

    def _check_that_it_was_accepted(self, accepted: Facts, reply: float) -> str:
        in_flight: str = accepted["run"]["cancelRequest"]["stepInFlight"]
        self._check("The cancel was accepted", not accepted["alreadyRequested"], f"reply after {_ms(reply)}")
        self._check("A step was in flight", in_flight in CANCEL_DURING, in_flight)
        return in_flight

    def _check_the_order_of_the_undo(self, entries: list[Facts], in_flight: str) -> None:
        kinds = [entry["kind"] for entry in entries]
        started = [entry["step"] for entry in entries if entry["kind"] == "STEP_STARTED"]
        undone = [entry["step"] for entry in entries if entry["kind"] == "STEP_COMPENSATED"]
        numbers = [entry["sequence"] for entry in entries if entry["sequence"] is not None]
        self._check("The stream showed the request", kinds.count("CANCEL_REQUESTED") == 1)
        self._check("The stream showed the step interrupted", kinds.count("STEP_INTERRUPTED") == 1)
        self._check("The step in flight was undone first", undone[:1] == [in_flight], ", ".join(undone[:1]))
        self._check("The others were undone in reverse", undone == started[::-1], " → ".join(undone))
        in_order = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        self._check("Every event arrived once and in order", in_order, f"{len(numbers)} events")

    def _check_the_duration(self, entries: list[Facts], took: float, request: float) -> None:
        """The safe point of an uninterruptible step is its end, directly before the first compensation."""
        moments = {entry["kind"]: entry["occurredAt"] for entry in reversed(entries)}
        stopped = moments.get("STEP_INTERRUPTED", moments["COMPENSATION_STARTED"])
        safe_point = _seconds_between(moments["CANCEL_REQUESTED"], stopped)
        allowed = max(self.budget, REQUESTS_IN_BUDGET * request)
        figures = f"{_ms(took)} in all, {_ms(safe_point)} of it until the step's safe point"
        self.view.line(f"Cancelled: {figures}.")
        figures += f"; a request takes {_ms(request)} now"
        self._check(f"The step stopped at its safe point within {allowed:.2g} s", 0 <= safe_point < allowed, figures)
        quick = took - safe_point < allowed
        self._check(f"From the mutation to PENDING in under {allowed:.2g} s more", quick, figures)

    def _request_time(self, tenant_id: str) -> float:
        """Seconds that a read of the tenant takes at the moment: the median of some."""
        times = []
        for _ in range(5):
            began = time.perf_counter()
            self._tenant(tenant_id)
            times.append(time.perf_counter() - began)
        return median(times)

    def _check_that_nothing_is_held(self, created: Facts) -> None:
        self.view.chapter("Check that no resource is left")
        tenant = self._tenant(created["id"])
        run = newest_run(tenant)
        statuses = sorted({resource["status"] for resource in run["resources"]})
        self._check("The tenant is PENDING", tenant["state"] == "PENDING", tenant["state"])
        self._check("The run is CANCELLED", run["status"] == "CANCELLED", run["status"])
        self._check("The ledger holds nothing", tenant["heldResources"] == [], f"{len(run['resources'])} released")
        self._check("Every resource was confirmed released", statuses == ["RELEASED"], ", ".join(statuses))
        abandoned = [resource["name"] for resource in tenant["abandonedResources"]]
        self._check("No resource was abandoned", not abandoned, ", ".join(abandoned) or "none")
        names = [resource["name"] for resource in run["resources"] if resource["kind"].startswith("postgres_")]
        left = self._in_postgres(names)
        self._check(
            "Postgres has no schema and no role of the tenant", bool(names) and not left, ", ".join(left or names[:1])
        )
        self._edge("The edge answers 404", created["url"], "/healthz", 404)
        self._check("No mail was sent", not self._mail_files(), f"{len(self._mail_files())} mails")
        self.view.line(what_is_left(tenant, left))

    def _check_the_feed(self, tenant_id: str) -> None:
        edges = self.client.execute(documents.FEED, tenant=tenant_id)["auditEvents"]["edges"]
        events = [edge["node"] for edge in edges if edge["node"]["type"] == "tenant.provisioning.cancelled"]
        self._check(
            "The feed has one tenant.provisioning.cancelled", len(events) == 1, f"{len(events)} of {len(edges)}"
        )
        data = events[0]["data"] if events else {}
        complete = data.get("reason") == REASON and bool(data.get("cancelled_by")) and bool(data.get("released"))
        self._check("The event says who cancelled, why, and what was released", complete, f"{data.get('reason')!r}")

    def _retry(self, tenant_id: str) -> None:
        self.view.chapter("Retry the same tenant")
        answer = _accepted(self.client.execute(documents.RETRY, input={"tenantId": tenant_id}), "retryProvisioning")
        with self._watching(tenant_id) as seen:
            _until(seen, lambda entry: entry["kind"] == "RUN_FINISHED")
        state = self._tenant(tenant_id)["state"]
        self._check("A retry makes the tenant ACTIVE", state == "ACTIVE", f"run {answer['run']['number']}: {state}")

    def _check_its_address(self, tenant: Facts) -> None:
        self.view.chapter("Request its address")
        self._edge("Its address answers 200", tenant["url"], "/healthz", 200)
        keys = (
            self.client.get_from_edge(urlsplit(tenant["url"]).netloc, "/.well-known/jwks.json").json().get("keys", [])
        )
        public = [key for key in keys if key.get("kty") == "EC" and "d" not in key]
        self._check(
            "It serves its own public key", len(public) == 1 == len(keys), ", ".join(key["kid"] for key in keys)
        )

    def _check_the_welcome_mail(self) -> None:
        deadline = time.monotonic() + MAIL_TIMEOUT_SECONDS
        while not self._mail_files() and time.monotonic() < deadline:
            time.sleep(0.1)
        count = len(self._mail_files())
        self._check("The first administrator got a welcome mail", count > 0, f"{count} mails")

    def _check(self, sentence: str, passed: bool, figures: object = "") -> None:  # noqa: FBT001  # the result of the check
        self.checks.add(sentence, passed, figures)

    def _edge(self, sentence: str, url: str, path: str, expected: int) -> None:
        status = self.client.get_from_edge(urlsplit(url).netloc, path).status_code
        self.view.line(f"GET {url}{path} → {status}")
        self._check(sentence, status == expected, status)

    @contextmanager
    def _watching(self, tenant_id: str) -> Iterator[Iterator["Seen"]]:
        with (
            self.view.live_picture(lambda: self._tenant(tenant_id)),
            self.client.subscribe(documents.WATCH, tenant=tenant_id) as stream,
        ):
            yield self._seen(stream)

    def _seen(self, stream: Stream) -> Iterator["Seen"]:
        """Yield the entries of the stream, and print each that is not a progress message, with a number."""
        number = 0
        for arrival in stream:
            entry: Facts = arrival.data["tenantProvisioning"]
            if entry["kind"] != "STEP_PROGRESS":
                number += 1
                self.view.line(f"{number:>3}  {entry['kind']:<21} {entry['message']}")
            yield Seen(entry, arrival.at)

    def _tenant(self, tenant_id: str) -> Facts:
        tenant: Facts = self.client.execute(documents.TENANT, id=tenant_id)["tenant"]
        return tenant

    def _in_postgres(self, names: list[str]) -> list[str]:
        query = "SELECT nspname FROM pg_namespace UNION ALL SELECT rolname FROM pg_roles"
        with connect(self.database_url, "tenantry-demo") as connection:
            return [name for (name,) in connection.execute(query) if name in names]

    def _mail_files(self) -> list[Path]:
        return list(self.mails.glob("*.eml"))


def what_is_left(tenant: Facts, in_postgres: Sequence[str]) -> str:
    """One sentence on what exists of a tenant: it says that nothing is held only if that is so."""
    held = [f"{one['kind']} {one['name']}" for one in tenant["heldResources"]]
    found = [name for name in in_postgres if name not in " ".join(held)]
    abandoned = [
        f"{one['kind']} {one['name']}, abandoned by {(one['abandonedBy'] or {}).get('displayName', 'an operator')}: "
        f"{one['abandonedReason']}"
        for one in tenant["abandonedResources"]
    ]
    if left := [*held, *found, *abandoned]:
        return f"Still there: {'; '.join(left).removesuffix('.')}."
    return "Nothing is held: no schema, no role, no key, no host name, no workload."


@dataclass(frozen=True)
class Seen:
    """An entry of the timeline, and when it arrived."""

    entry: Facts
    at: float


def _until(arriving: Iterator[Seen], matches: Callable[[Facts], bool]) -> list[Seen]:
    """Return the entries up to and including the first that matches. Raises DevserverError when none does."""
    taken: list[Seen] = []
    for seen in arriving:
        taken.append(seen)
        if matches(seen.entry):
            return taken
    raise DevserverError("The run ended before the demonstration could continue: choose a larger --pace.")


def _accepted(answer: Facts, mutation: str) -> Facts:
    payload: Facts = answer[mutation]
    if payload["userErrors"]:
        raise DevserverError(f"{mutation} was refused: {payload['userErrors'][0]['message']}")
    return payload


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
