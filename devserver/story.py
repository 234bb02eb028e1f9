"""The story of one tenant: created, watched, cancelled in flight, undone to the last resource, retried, live."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from devserver import documents
from devserver.client import Client, Facts, Stream
from devserver.refusal import Refused
from devserver.story_checks import Claims
from devserver.view import View, newest_run

SLUG = "lovelace"
REASON = "wrong plan, says the customer"
CANCEL_DURING = ("deploy_workloads", "await_readiness")
MAIL_PATIENCE_SECONDS = 15.0


@dataclass
class Story:
    """Told once, in the order of the methods. Everything is asked and seen from outside."""

    client: Client
    view: View
    database_url: str
    mails: Path
    budget: float
    claims: Claims = field(default_factory=Claims)

    def tell(self) -> None:
        """Raises Refused when the story cannot go on."""
        tenant = self._create()
        self._cancel_in_flight(tenant["id"])
        self._nothing_is_held(tenant)
        self._feed_tells_it_once(tenant["id"])
        self._retry(tenant["id"])
        self._answers_on_its_address(tenant)
        self._welcomes()

    def _create(self) -> Facts:
        self.view.chapter("Create a tenant and watch it being provisioned")
        asked = {"slug": SLUG, "plan": "starter", "firstAdminEmail": "ada@example.com"}
        answer = _accepted(self.client.ask(documents.CREATE, input=asked), "createTenant")
        tenant: Facts = answer["tenant"]
        self.view.line(f"{tenant['url']} is being provisioned, run {answer['run']['number']}.")
        self._claim("A new tenant is PROVISIONING at once", tenant["state"] == "PROVISIONING", tenant["state"])
        return tenant

    def _cancel_in_flight(self, tenant_id: str) -> None:
        with self._watching(tenant_id) as seen:
            arrived = _until(seen, lambda entry: entry["kind"] == "STEP_STARTED" and entry["step"] in CANCEL_DURING)
            self.view.chapter(f"Cancel while {arrived[-1].entry['step']} is at work")
            asked_at = time.perf_counter()
            answer = self.client.ask(documents.CANCEL, input={"tenantId": tenant_id, "reason": REASON})
            reply = time.perf_counter() - asked_at
            arrived += _until(seen, lambda entry: entry["kind"] == "RUN_FINISHED")
        entries = [one.entry for one in arrived]
        in_flight = self._was_accepted(_accepted(answer, "cancelProvisioning"), reply)
        self._was_undone_in_reverse(entries, in_flight)
        self._was_quick(entries, arrived[-1].at - asked_at)

    def _was_accepted(self, accepted: Facts, reply: float) -> str:
        in_flight: str = accepted["run"]["cancelRequest"]["stepInFlight"]
        self._claim("The cancel was accepted", not accepted["alreadyRequested"], f"reply after {_ms(reply)}")
        self._claim("It met a step in flight", in_flight in CANCEL_DURING, in_flight)
        return in_flight

    def _was_undone_in_reverse(self, entries: list[Facts], in_flight: str) -> None:
        kinds = [entry["kind"] for entry in entries]
        started = [entry["step"] for entry in entries if entry["kind"] == "STEP_STARTED"]
        undone = [entry["step"] for entry in entries if entry["kind"] == "STEP_COMPENSATED"]
        numbers = [entry["sequence"] for entry in entries if entry["sequence"] is not None]
        self._claim("The stream showed the request", kinds.count("CANCEL_REQUESTED") == 1)
        self._claim("The stream showed the step interrupted", kinds.count("STEP_INTERRUPTED") == 1)
        self._claim("The step in flight was undone first", undone[:1] == [in_flight], ", ".join(undone[:1]))
        self._claim("The others were undone in reverse", undone == started[::-1], " → ".join(undone))
        in_order = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        self._claim("Every event came once and in order", in_order, f"{numbers[0]} to {numbers[-1]}")

    def _was_quick(self, entries: list[Facts], took: float) -> None:
        """A step that cannot be interrupted has its safe point at its end, right before the first compensation."""
        moments = {entry["kind"]: entry["occurredAt"] for entry in reversed(entries)}
        stopped = moments.get("STEP_INTERRUPTED", moments["COMPENSATION_STARTED"])
        safe_point = _seconds_between(moments["CANCEL_REQUESTED"], stopped)
        figures = f"{_ms(took)} in all, {_ms(safe_point)} of it until the step's safe point"
        self.view.line(f"Cancelled: {figures}.")
        stopped_soon = 0 <= safe_point < self.budget
        self._claim(f"The step stopped at its safe point within {self.budget:g} s", stopped_soon, _ms(safe_point))
        quick = took - safe_point < self.budget
        self._claim(f"From the mutation to PENDING in under {self.budget:g} s more", quick, figures)

    def _nothing_is_held(self, created: Facts) -> None:
        self.view.chapter("Look for anything that is left")
        tenant = self._tenant(created["id"])
        run = newest_run(tenant)
        fates = sorted({resource["status"] for resource in run["resources"]})
        self._claim("The tenant is PENDING", tenant["state"] == "PENDING", tenant["state"])
        self._claim("The run is CANCELLED", run["status"] == "CANCELLED", run["status"])
        self._claim("The ledger holds nothing", tenant["heldResources"] == [], f"{len(run['resources'])} released")
        self._claim("Every resource was confirmed released", fates == ["RELEASED"], ", ".join(fates))
        names = [resource["name"] for resource in run["resources"] if resource["kind"].startswith("postgres_")]
        left = self._in_postgres(names)
        self._claim("Postgres has no schema and no role of it", bool(names) and not left, ", ".join(left or names[:1]))
        self._edge("The edge answers 404", created["url"], "/healthz", 404)
        self._claim("No mail went out", not self._letters(), f"{len(self._letters())} mails")
        self.view.line("Nothing is held: no schema, no role, no key, no host name, no workload.")

    def _feed_tells_it_once(self, tenant_id: str) -> None:
        edges = self.client.ask(documents.FEED, tenant=tenant_id)["auditEvents"]["edges"]
        told = [edge["node"] for edge in edges if edge["node"]["type"] == "tenant.provisioning.cancelled"]
        self._claim("The feed has one tenant.provisioning.cancelled", len(told) == 1, f"{len(told)} of {len(edges)}")
        data = told[0]["data"] if told else {}
        complete = data.get("reason") == REASON and bool(data.get("cancelled_by")) and bool(data.get("released"))
        self._claim("It says who, why and what was released", complete, f"{data.get('reason')!r}")

    def _retry(self, tenant_id: str) -> None:
        self.view.chapter("Retry the same tenant")
        answer = _accepted(self.client.ask(documents.RETRY, input={"tenantId": tenant_id}), "retryProvisioning")
        with self._watching(tenant_id) as seen:
            _until(seen, lambda entry: entry["kind"] == "RUN_FINISHED")
        state = self._tenant(tenant_id)["state"]
        self._claim("A retry brings it to ACTIVE", state == "ACTIVE", f"run {answer['run']['number']}: {state}")

    def _answers_on_its_address(self, tenant: Facts) -> None:
        self.view.chapter("Curl its address")
        self._edge("Its address answers 200", tenant["url"], "/healthz", 200)
        keys = self.client.look(urlsplit(tenant["url"]).netloc, "/.well-known/jwks.json").json().get("keys", [])
        public = [key for key in keys if key.get("kty") == "EC" and "d" not in key]
        self._claim(
            "It serves its own public key", len(public) == 1 == len(keys), ", ".join(key["kid"] for key in keys)
        )

    def _welcomes(self) -> None:
        deadline = time.monotonic() + MAIL_PATIENCE_SECONDS
        while not self._letters() and time.monotonic() < deadline:
            time.sleep(0.1)
        count = len(self._letters())
        self._claim("Its first admin was welcomed by mail", count > 0, f"{count} mails")

    def _claim(self, sentence: str, held: bool, figures: object = "") -> None:  # noqa: FBT001  # the claim's whole point
        self.claims.claim(sentence, held, figures)

    def _edge(self, sentence: str, url: str, path: str, wanted: int) -> None:
        status = self.client.look(urlsplit(url).netloc, path).status_code
        self.view.line(f"GET {url}{path} → {status}")
        self._claim(sentence, status == wanted, status)

    @contextmanager
    def _watching(self, tenant_id: str) -> Iterator[Iterator["Seen"]]:
        with (
            self.view.picturing(lambda: self._tenant(tenant_id)),
            self.client.watching(documents.WATCH, tenant=tenant_id) as stream,
        ):
            yield self._seen(stream)

    def _seen(self, stream: Stream) -> Iterator["Seen"]:
        """Pass on what the stream delivers, told to the person watching."""
        for arrival in stream:
            entry: Facts = arrival.data["tenantProvisioning"]
            if entry["kind"] != "STEP_PROGRESS":
                self.view.line(f"{entry['sequence']:>3}  {entry['kind']:<21} {entry['message']}")
            yield Seen(entry, arrival.at)

    def _tenant(self, tenant_id: str) -> Facts:
        tenant: Facts = self.client.ask(documents.TENANT, id=tenant_id)["tenant"]
        return tenant

    def _in_postgres(self, names: list[str]) -> list[str]:
        query = "SELECT nspname FROM pg_namespace UNION ALL SELECT rolname FROM pg_roles"
        with psycopg.connect(self.database_url) as connection:
            return [name for (name,) in connection.execute(query) if name in names]

    def _letters(self) -> list[Path]:
        return list(self.mails.glob("*.eml"))


@dataclass(frozen=True)
class Seen:
    """An entry of the timeline, and when it came."""

    entry: Facts
    at: float


def _until(arriving: Iterator[Seen], wanted: Callable[[Facts], bool]) -> list[Seen]:
    """Take entries up to and including the one that is wanted. Raises Refused when it never comes."""
    taken: list[Seen] = []
    for one in arriving:
        taken.append(one)
        if wanted(one.entry):
            return taken
    raise Refused("The run ended before the story could go on; choose a larger --pace.")


def _accepted(answer: Facts, mutation: str) -> Facts:
    payload: Facts = answer[mutation]
    if payload["userErrors"]:
        raise Refused(f"{mutation} was refused: {payload['userErrors'][0]['message']}")
    return payload


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
