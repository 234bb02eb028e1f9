"""What somebody sees who may only look: the API, the feed, the edge, the adapters' inventories, the mails.

Every claim begins with the invariant it belongs to.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import psycopg

import adapters
from models import TenantState
from provisioning.resource_names import ResourceNames
from runtime.database import Database
from tests.api import Facts
from tests.conformance.field.director import PATIENCE, until
from tests.conformance.field.people import Cast, Saga, accepted, codes, uuid_of

EMPTY = {"PENDING", "FAILED", "DECOMMISSIONED"}
SERVING = {"ACTIVE": 200, "SUSPENDED": 503, "DECOMMISSIONED": 410}
TERMINAL = {
    "SUCCEEDED": "tenant.provisioning.completed",
    "CANCELLED": "tenant.provisioning.cancelled",
    "FAILED": "tenant.provisioning.failed",
    "DECOMMISSIONED": "tenant.deprovisioning.completed",
}
AFTER_THE_END = {
    "tenant.provisioning.absence_confirmed",
    "tenant.provisioning.absence_unconfirmed",
    "tenant.welcome_email_sent",
    "tenant.welcome_email_failed",
}
STARTED = "tenant.provisioning.step_started"
FAILED = "tenant.provisioning.step_failed"
COMPLETED = "tenant.provisioning.step_completed"
UNDONE = {"tenant.provisioning.step_compensated", "tenant.deprovisioning.step_completed"}
REQUESTED = "tenant.provisioning.cancel_requested"
CANCELLED = "tenant.provisioning.cancelled"
MAIL = "tenant.welcome_email_sent"
SETTLED_WITHIN = 60.0
"""Seconds until nothing is on its way any more, once nothing strikes: two lapsed leases in a row (15 s each at most)
and as long again for the work: the undo of 2,000 runs took 58 s on two idle cores, and here are 500 at the most."""

TOLD_WITHIN = 20.0
"""Seconds until the feed tells what was committed: as long as the longest transaction that was open then, and no
statement takes longer than 10 s (``statement_timeout``)."""

SAMPLE = 25
"""Tenants for whom every adapter is asked one by one, and the edge as well; of all others the inventories tell."""

INVENTORIES = """
    SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 't\\_%'
    UNION ALL SELECT rolname::text || ' (role)' FROM pg_roles WHERE rolname LIKE 't\\_%'
    UNION ALL SELECT name FROM signing_keys WHERE destroyed_at IS NULL
    UNION ALL SELECT name FROM tenant_accounts WHERE destroyed_at IS NULL
    UNION ALL SELECT claimant || ' at ' || name FROM host_names WHERE released_at IS NULL
    UNION ALL SELECT name FROM workloads WHERE torn_down_at IS NULL
"""
"""What each adapter itself keeps of what it holds, whosever it is."""

TENANTS = """
    query T($after: String) { tenants(first: 100, after: $after) { pageInfo { hasNextPage endCursor } edges { node {
      id databaseId slug url state heldResources { name }
      runs(first: 10) { edges { node { id number kind status cancelRequest { requestedBy { id } reason }
        resources { name status } } } } } } } }
"""
FEED = """
    query F($after: String, $filter: AuditEventFilter) {
      auditEvents(first: 100, after: $after, filter: $filter) { pageInfo { hasNextPage endCursor } edges { node {
        id type occurredAt data actor { id displayName } tenant { id } run { id } } } } }
"""
LIVE = "{ tenants(first: 1, filter: { stateIn: [PROVISIONING, DECOMMISSIONING] }) { edges { node { slug } } } }"


@dataclass
class InvariantChecker:
    """Remembers what people were told, and holds the end against it."""

    cast: Cast
    accepted: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By run: who was told first, and the reason."""
    refused: dict[str, str] = field(default_factory=dict)
    """By run: the state in which it was too late."""
    handed_on: bool = False
    """Whether moves may have been handed on at a restart. That is not an attempt: the next has the same number."""

    def heard(self, saga: Saga, answer: Facts, by: str) -> bool:
        """Somebody was answered a cancel; whether it was accepted."""
        if accepted(answer):
            run, request = answer["run"]["id"], answer["run"]["cancelRequest"]
            first = (request["requestedBy"]["id"], request["reason"])
            assert self.accepted.setdefault(run, first) == first, "V5: its author or reason changed"
            return True
        assert codes(answer) == ["INVALID_STATE"], f"V5: {by} was told {answer['userErrors']}"
        self.refused[saga.run] = answer["userErrors"][0]["currentState"]
        return False

    def await_settled(self, within: float = SETTLED_WITHIN) -> float:
        """Wait until no run is on its way; how long it took, in seconds."""
        owner = self.cast.owner

        def settled() -> bool:
            return not owner.ask(LIVE)["tenants"]["edges"]

        try:
            return until(settled, "V8: it does not settle", within=within, every=0.25)
        except AssertionError as error:
            self.look_for_harm()
            raise AssertionError(f"{error}\n{self.unsettled()}") from None

    def await_run(self, saga: Saga, *statuses: str, within: float = PATIENCE) -> Facts:
        """Wait until a tenant's newest run stands like this."""
        try:
            until(lambda: self.cast.owner.look(saga)["run"]["status"] in statuses, "", within=within)
        except AssertionError:
            self.look_for_harm()
            told = [f"  {_line(event)}" for event in self.events(saga)]
            head = f"V13: {saga.slug} is not {' or '.join(statuses)} within {within:g} s. Its feed tells:"
            raise AssertionError("\n".join([head, *told, self.cast.field.complaints()])) from None
        return self.cast.owner.look(saga)

    def tenants(self) -> list[Facts]:
        """Every tenant with its runs, as the API tells."""
        return self.pages(TENANTS, "tenants")

    def events(self, saga: Saga | None = None) -> list[Facts]:
        """The feed, oldest first; of one tenant when one is named."""
        found = self.pages(FEED, "auditEvents", filter={"tenantId": saga.id} if saga else {})
        return found[::-1]

    def look_for_harm(self) -> None:
        """Something does not come: say so only if nothing worse has happened, to a run that ended or to any other."""
        by_run = self._by_run(self.events())
        for tenant in self.tenants():
            for run in nodes(tenant["runs"]):
                story = _Story(tenant, run, by_run[run["id"]])
                ends = [event["type"] for event in story.events if event["type"] in TERMINAL.values()]
                story.holds(len(ends) <= 1, "V1: more than one end")
                self._inspect_order(story)
                self._inspect_silence(story)

    def inspect(self, *, abandoned: frozenset[str] = frozenset()) -> Counter[str]:
        """Everything has settled: hold it against every invariant. How many runs ended in each way."""
        tenants = self.tenants()
        events = self._feed_to_its_end({run["id"] for tenant in tenants for run in nodes(tenant["runs"])})
        by_run = self._by_run(events)
        assert len({event["id"] for event in events}) == len(events), "V10: an event is in the feed twice"
        ends: Counter[str] = Counter()
        for tenant in tenants:
            for run in nodes(tenant["runs"]):
                ends[run["status"]] += 1
                self._inspect_run(tenant, run, by_run[run["id"]])
            if tenant["state"] in EMPTY:
                left = {held["name"] for held in tenant["heldResources"]} - abandoned
                assert not left, f"V2: {tenant['slug']} is {tenant['state']} and its ledger says {left}"
        self.inspect_inventories(tenants, abandoned)
        self._inspect_mails(tenants, by_run)
        return ends

    def _by_run(self, events: Iterable[Facts]) -> dict[str, list[Facts]]:
        by_run: dict[str, list[Facts]] = defaultdict(list)
        for event in events:
            by_run[event["run"]["id"] if event["run"] else ""].append(event)
        return by_run

    def _feed_to_its_end(self, runs: Collection[str]) -> list[Facts]:
        """The feed ends where a late commit could still come in: wait until it tells how each of these runs ended."""
        found: list[Facts] = []

        def told() -> bool:
            found[:] = self.events()
            return {event["run"]["id"] for event in found if event["type"] in TERMINAL.values()} >= set(runs)

        until(told, "V10: the feed does not tell every end", within=TOLD_WITHIN, every=0.25)
        return found

    def inspect_inventories(
        self, tenants: Iterable[Facts] | None = None, abandoned: frozenset[str] = frozenset()
    ) -> None:
        """V2: outside there is what belongs to live tenants, all of it, and nothing else."""
        known = list(self.tenants() if tenants is None else tenants)
        tags = {tenant["databaseId"].replace("-", "")[-8:] for tenant in known}
        with psycopg.connect(self.cast.field.settings.database_url) as connection:
            present = {str(name) for (name,) in connection.execute(INVENTORIES)}
        mine = {name for name in present if any(part in tags for part in name.replace("_", "-").split("-"))}
        expected = {name for tenant in known for name in self._expected(tenant)}
        unexpected = {name for name in mine - expected if not any(left in name for left in abandoned)}
        assert not unexpected, f"V2: held, and nobody's: {sorted(unexpected)[:10]} ({len(unexpected)})"
        missing = expected - mine
        assert not missing, f"V2: a live tenant lacks {sorted(missing)[:10]}"
        taken = {tenant["url"] for tenant in known if tenant["state"] != TenantState.DECOMMISSIONED}
        for tenant in known[:SAMPLE]:
            if tenant["state"] != TenantState.DECOMMISSIONED or tenant["url"] not in taken:
                self.inspect_edge(tenant)
            if not abandoned:
                self._ask_adapters(tenant)

    def inspect_edge(self, tenant: Facts) -> None:
        """V11: a tenant's address answers by its state."""
        status = self.edge(tenant["url"])
        wanted = SERVING.get(tenant["state"], 404)
        assert status == wanted, f"V11: {tenant['url']} answers {status} in {tenant['state']}"

    def edge(self, url: str) -> int:
        """The status with which a tenant's address answers."""
        host = url.split("//", 1)[1]
        address = f"http://{self.cast.field.address}/healthz"
        return httpx.get(address, headers={"Host": host}, timeout=10, trust_env=False).status_code

    def mails(self) -> Counter[str]:
        """How many mails went to each address."""
        folder = self.cast.field.mails
        return Counter(path.stem.split("-", 1)[1] for path in folder.glob("*.eml"))

    def _inspect_run(self, tenant: Facts, run: Facts, events: list[Facts]) -> None:
        story = _Story(tenant, run, events)
        status = run["status"]
        story.holds(status in TERMINAL, "V13: it did not end")
        ends = [event for event in events if event["type"] in TERMINAL.values()]
        story.holds([event["type"] for event in ends] == [TERMINAL[status]], "V1: not exactly one end")
        later = {event["type"] for event in events[events.index(ends[0]) + 1 :]}
        story.holds(later <= AFTER_THE_END, f"V1: it went on after its end: {sorted(later - AFTER_THE_END)}")
        self._inspect_order(story)
        self._inspect_silence(story)
        self._inspect_cancel(story, run, events, ends[0])

    def _inspect_silence(self, story: "_Story") -> None:
        types = [event["type"] for event in story.events]
        if REQUESTED in types:
            begun = types[types.index(REQUESTED) :].count(STARTED)
            story.holds(begun == 0, "V6: a step began after the cancel")

    def _inspect_order(self, story: "_Story") -> None:
        events = story.events
        started = list(dict.fromkeys(event["data"]["step"] for event in events if event["type"] == STARTED))
        undone = [event["data"]["step"] for event in events if event["type"] in UNDONE]
        story.holds(len(set(undone)) == len(undone), f"V4: undone twice: {undone}")
        if started:
            backward = [step for step in started[::-1] if step in undone]
            story.holds(undone == backward, f"V3: undone {undone}, and begun {started}")
        attempts = [(event["data"]["step"], event["data"]["attempt"]) for event in events if event["type"] == STARTED]
        once = self.handed_on or len(set(attempts)) == len(attempts)
        story.holds(once, f"V9: an attempt began twice: {attempts}")
        done = [event["data"]["step"] for event in events if event["type"] == COMPLETED]
        story.holds(len(set(done)) == len(done), f"V9: completed twice: {done}")

    def _inspect_cancel(self, story: "_Story", run: Facts, events: list[Facts], end: Facts) -> None:
        types = [event["type"] for event in events]
        promise = self.accepted.get(run["id"])
        if promise is not None:
            story.holds(run["status"] == "CANCELLED", "V5: the cancel was accepted")
        if run["id"] in self.refused and self.refused[run["id"]] == TenantState.ACTIVE:
            story.holds(run["status"] == "SUCCEEDED", "V5: somebody was told that it is ACTIVE")
        if run["status"] != "CANCELLED":
            return
        story.holds(types.count(REQUESTED) == 1, "V7: not requested exactly once")
        request = events[types.index(REQUESTED)]
        said = (request["actor"]["id"], request["data"]["reason"])
        story.holds(said == (promise or said), f"V7: {said} instead of {promise}")
        story.holds(end["data"]["reason"] == said[1], "V7: the reason is lost")
        story.holds(bool(end["data"]["cancelled_by"]), "V7: nobody cancelled it")

    def _expected(self, tenant: Facts) -> set[str]:
        if tenant["state"] not in {"ACTIVE", "SUSPENDED"}:
            return set()
        prints = self._names(tenant, next(r["number"] for r in nodes(tenant["runs"]) if r["status"] == "SUCCEEDED"))
        host = f"{prints.address}.{self.cast.field.settings.tenant_domain}"
        names = {prints.schema, f"{prints.role} (role)", prints.signing_key, prints.account, prints.workload}
        return names | {f"{prints.stem} at {host}"}

    def _ask_adapters(self, tenant: Facts) -> None:
        if tenant["state"] not in EMPTY:
            return
        database = Database(self.cast.field.settings, name="tenantry-witness")
        try:
            infrastructure = adapters.infrastructure(self.cast.field.settings, database)
            for run in nodes(tenant["runs"]):
                found = infrastructure.present(self._names(tenant, run["number"]))
                assert not found, f"V2: the adapters still find {found} of {tenant['slug']}"
        finally:
            database.close()

    def _names(self, tenant: Facts, run_number: int) -> ResourceNames:
        address = f"{tenant['slug']}-{self.cast.organisation.slug}"
        return ResourceNames(UUID(tenant["databaseId"]), address, run_number)

    def _inspect_mails(self, tenants: list[Facts], by_run: dict[str, list[Facts]]) -> None:
        caught = self.mails()
        for tenant in tenants:
            live = any(run["status"] == "SUCCEEDED" for run in nodes(tenant["runs"]))
            for run in nodes(tenant["runs"]):
                told = [event["type"] for event in by_run[run["id"]]].count(MAIL)
                assert told <= (run["status"] == "SUCCEEDED"), f"V11: {tenant['slug']} was welcomed"
            assert live or not caught[self.cast.owner.mail_of(tenant["slug"])], (
                f"V11: a mail went out for {tenant['slug']}"
            )

    def unsettled(self) -> str:
        """What is still on its way, and how the first came there."""
        live = [one for one in self.tenants() if one["state"] in {"PROVISIONING", "DECOMMISSIONING"}]
        lines = [f"{one['slug']}: {[(r['number'], r['status']) for r in nodes(one['runs'])]}" for one in live[:10]]
        told = []
        for tenant in live[:1]:
            mine = self.pages(FEED, "auditEvents", filter={"tenantId": tenant["id"]})[::-1]
            told = [f"  {_line(event)}" for event in mine]
        return "\n".join([f"{len(live)} unsettled", *lines, *told, self.cast.field.complaints()])

    def pages(self, document: str, name: str, **variables: object) -> list[Facts]:
        found: list[Facts] = []
        after = None
        while True:
            page = self.cast.owner.ask(document, after=after, **variables)[name]
            found += nodes(page)
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]


@dataclass(frozen=True)
class _Story:
    """One run, told whenever a claim about it does not hold."""

    tenant: Facts
    run: Facts
    events: list[Facts]

    def holds(self, claim: bool, otherwise: str) -> None:  # noqa: FBT001  # the claim's whole point
        run = f"run {self.run['number']} {self.run['status']}, {uuid_of(self.run['id'])}"
        head = f"{otherwise} ({self.tenant['slug']}, {self.tenant['state']}, {run}). Its feed tells:"
        assert claim, "\n".join([head, *(f"  {_line(event)}" for event in self.events)])


def nodes(connection: Facts) -> list[Facts]:
    """What a connection holds on this page."""
    return [edge["node"] for edge in connection["edges"]]


def _line(event: Facts) -> str:
    what, data = event["type"].removeprefix("tenant."), event["data"]
    return f"{what} {data.get('step', '')} {data.get('attempt', '')} ({event['actor']['displayName']})"
