"""Checks the invariants from outside: by API, feed, edge, mails, the adapters' inventories.

Every message begins with the id of its invariant.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

import adapters
from models import TenantState
from provisioning.resource_names import ResourceNames
from runtime.connections import connect
from runtime.database import Database
from tests.api import Facts
from tests.conformance.field.api_clients import ApiClients, Saga, accepted, codes, uuid_of
from tests.conformance.field.failpoint_controller import TIMEOUT, until
from tests.http_client import HTTP

EMPTY_STATES = {"PENDING", "FAILED", "DECOMMISSIONED"}
EDGE_STATUS = {"ACTIVE": 200, "SUSPENDED": 503, "DECOMMISSIONED": 410}
END_EVENTS = {
    "SUCCEEDED": "tenant.provisioning.completed",
    "CANCELLED": "tenant.provisioning.cancelled",
    "FAILED": "tenant.provisioning.failed",
    "DECOMMISSIONED": "tenant.deprovisioning.completed",
}
EVENTS_AFTER_THE_END = {
    "tenant.provisioning.absence_confirmed",
    "tenant.provisioning.absence_unconfirmed",
    "tenant.welcome_email_requested",
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
"""Seconds until every run has finished, once faults have stopped: two expired leases in a row (15 s each at most) and
as long again for the work. The undo of 2,000 runs took 58 s on two idle cores; here are 500 at the most."""

FEED_COMPLETE_WITHIN = 20.0
"""Seconds until a committed event is in the feed: it waits for transactions that were open at the commit, and no
statement takes longer than 10 s (``statement_timeout``)."""

SAMPLE_SIZE = 25
"""Tenants that are checked at each adapter and at the edge; all others are checked by the inventories only."""

STORAGE = """
    SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 't\\_%'
    UNION ALL SELECT rolname::text || ' (role)' FROM pg_roles WHERE rolname LIKE 't\\_%'
"""
"""The resources in the tenants' Postgres."""

INVENTORIES = """
    SELECT name FROM signing_keys WHERE destroyed_at IS NULL
    UNION ALL SELECT name FROM tenant_accounts WHERE destroyed_at IS NULL
    UNION ALL SELECT claimant || ' at ' || name FROM host_names WHERE released_at IS NULL
    UNION ALL SELECT name FROM workloads WHERE torn_down_at IS NULL
"""
"""The resources that exist in each other adapter's own inventory, of all organisations."""

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
    """Records the answers that clients got, and checks the end of each run against them."""

    clients: ApiClients
    accepted: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By run: the first accepted cancel, its author and reason."""
    refused: dict[str, str] = field(default_factory=dict)
    """By run: the state named by the refusal of a cancel."""
    moves_handed_over: bool = False
    """Whether restarts may have handed over moves. Such a move starts again with the same attempt number."""

    def record_answer(self, saga: Saga, answer: Facts, by: str) -> bool:
        """Record the answer to a cancel; returns whether it was accepted."""
        if accepted(answer):
            run, request = answer["run"]["id"], answer["run"]["cancelRequest"]
            first = (request["requestedBy"]["id"], request["reason"])
            assert self.accepted.setdefault(run, first) == first, "V5: the author or reason of the cancel changed"
            return True
        assert codes(answer) == ["INVALID_STATE"], f"V5: {by} got {answer['userErrors']}"
        self.refused[saga.run] = answer["userErrors"][0]["currentState"]
        return False

    def await_settled(self, within: float = SETTLED_WITHIN) -> float:
        """Wait until every run has finished; returns the seconds that it took."""
        owner = self.clients.owner

        def settled() -> bool:
            return not owner.execute(LIVE)["tenants"]["edges"]

        try:
            return until(settled, "V8: not every run finishes", within=within, every=0.25)
        except AssertionError as error:
            self.check_safety()
            raise AssertionError(f"{error}\n{self.unsettled()}") from None

    def await_run(self, saga: Saga, *statuses: str, within: float = TIMEOUT) -> Facts:
        """Wait until the tenant's newest run has one of these statuses."""
        try:
            until(lambda: self.clients.owner.read(saga)["run"]["status"] in statuses, "", within=within)
        except AssertionError:
            self.check_safety()
            feed = [f"  {_line(event)}" for event in self.events(saga)]
            head = f"V13: {saga.slug} is not {' or '.join(statuses)} within {within:g} s. Its feed:"
            raise AssertionError("\n".join([head, *feed, self.clients.testbed.log_excerpts()])) from None
        return self.clients.owner.read(saga)

    def tenants(self) -> list[Facts]:
        """Every tenant with its runs, from the API."""
        return self.pages(TENANTS, "tenants")

    def events(self, saga: Saga | None = None) -> list[Facts]:
        """The feed, oldest first, of all tenants or of this one."""
        found = self.pages(FEED, "auditEvents", filter={"tenantId": saga.id} if saga else {})
        return found[::-1]

    def check_safety(self) -> None:
        """Check the invariants that unfinished runs must keep as well. A timeout calls this to find a worse failure."""
        by_run = self._by_run(self.events())
        for tenant in self.tenants():
            for run in nodes(tenant["runs"]):
                history = _RunHistory(tenant, run, by_run[run["id"]])
                ends = [event["type"] for event in history.events if event["type"] in END_EVENTS.values()]
                history.require(len(ends) <= 1, "V1: more than one end")
                self._check_order(history)
                self._check_no_step_after_cancel(history)

    def check_all(self, *, abandoned: frozenset[str] = frozenset()) -> Counter[str]:
        """Check every invariant once all runs have finished; returns the number of runs by status."""
        tenants = self.tenants()
        events = self._complete_feed({run["id"] for tenant in tenants for run in nodes(tenant["runs"])})
        by_run = self._by_run(events)
        assert len({event["id"] for event in events}) == len(events), "V10: an event is in the feed twice"
        ends: Counter[str] = Counter()
        for tenant in tenants:
            for run in nodes(tenant["runs"]):
                ends[run["status"]] += 1
                self._check_run(tenant, run, by_run[run["id"]])
            if tenant["state"] in EMPTY_STATES:
                left = {held["name"] for held in tenant["heldResources"]} - abandoned
                assert not left, f"V2: {tenant['slug']} is {tenant['state']} and its ledger has {left}"
        self.check_inventories(tenants, abandoned)
        self._check_mails(tenants, by_run)
        return ends

    def _by_run(self, events: Iterable[Facts]) -> dict[str, list[Facts]]:
        by_run: dict[str, list[Facts]] = defaultdict(list)
        for event in events:
            by_run[event["run"]["id"] if event["run"] else ""].append(event)
        return by_run

    def _complete_feed(self, runs: Collection[str]) -> list[Facts]:
        """Wait until the feed has the end of each of these runs: it withholds events behind an open transaction."""
        found: list[Facts] = []

        def complete() -> bool:
            found[:] = self.events()
            return {event["run"]["id"] for event in found if event["type"] in END_EVENTS.values()} >= set(runs)

        until(complete, "V10: the feed does not have the end of every run", within=FEED_COMPLETE_WITHIN, every=0.25)
        return found

    def check_inventories(
        self, tenants: Iterable[Facts] | None = None, abandoned: frozenset[str] = frozenset()
    ) -> None:
        """V2: the inventories have all resources of live tenants, and no others."""
        known = list(self.tenants() if tenants is None else tenants)
        tags = {tenant["databaseId"].replace("-", "")[-8:] for tenant in known}
        settings = self.clients.testbed.settings
        present = set()
        for url, query in ((settings.database_url, INVENTORIES), (settings.tenants_database, STORAGE)):
            with connect(url, "tenantry-checker") as connection:
                present |= {str(name) for (name,) in connection.execute(query.encode())}
        mine = {name for name in present if any(part in tags for part in name.replace("_", "-").split("-"))}
        expected = {name for tenant in known for name in self._expected(tenant)}
        unexpected = {name for name in mine - expected if not any(left in name for left in abandoned)}
        assert not unexpected, f"V2: resources of no live tenant: {sorted(unexpected)[:10]} ({len(unexpected)})"
        missing = expected - mine
        assert not missing, f"V2: a live tenant lacks {sorted(missing)[:10]}"
        taken = {tenant["url"] for tenant in known if tenant["state"] != TenantState.DECOMMISSIONED}
        for tenant in known[:SAMPLE_SIZE]:
            if tenant["state"] != TenantState.DECOMMISSIONED or tenant["url"] not in taken:
                self.check_edge(tenant)
            if not abandoned:
                self._check_adapters(tenant)

    def check_edge(self, tenant: Facts) -> None:
        """V11: a tenant's address answers with the status of its state; one that was never live is not found."""
        status = self.edge(tenant["url"])
        closed = tenant["state"] == TenantState.DECOMMISSIONED
        was_live = any(run["status"] == "SUCCEEDED" for run in nodes(tenant["runs"]))
        expected = 404 if closed and not was_live else EDGE_STATUS.get(tenant["state"], 404)
        assert status == expected, f"V11: {tenant['url']} answers {status} in {tenant['state']}"

    def edge(self, url: str) -> int:
        """The HTTP status of a tenant's address."""
        host = url.split("//", 1)[1]
        address = f"http://{self.clients.testbed.address}/healthz"
        return HTTP.get(address, headers={"Host": host}, timeout=10).status_code

    def mails(self) -> Counter[str]:
        """How many mails went to each address."""
        folder = self.clients.testbed.mails
        return Counter(path.stem.split("-", 1)[1] for path in folder.glob("*.eml"))

    def _check_run(self, tenant: Facts, run: Facts, events: list[Facts]) -> None:
        history = _RunHistory(tenant, run, events)
        status = run["status"]
        history.require(status in END_EVENTS, "V13: the run did not finish")
        ends = [event for event in events if event["type"] in END_EVENTS.values()]
        history.require([event["type"] for event in ends] == [END_EVENTS[status]], "V1: not exactly one end")
        later = {event["type"] for event in events[events.index(ends[0]) + 1 :]}
        history.require(
            later <= EVENTS_AFTER_THE_END, f"V1: events after the end: {sorted(later - EVENTS_AFTER_THE_END)}"
        )
        self._check_order(history)
        self._check_no_step_after_cancel(history)
        self._check_cancel(history, run, events, ends[0])

    def _check_no_step_after_cancel(self, history: "_RunHistory") -> None:
        types = [event["type"] for event in history.events]
        if REQUESTED in types:
            begun = types[types.index(REQUESTED) :].count(STARTED)
            history.require(begun == 0, "V6: a step started after the cancel")

    def _check_order(self, history: "_RunHistory") -> None:
        events = history.events
        started = list(dict.fromkeys(event["data"]["step"] for event in events if event["type"] == STARTED))
        undone = [event["data"]["step"] for event in events if event["type"] in UNDONE]
        history.require(len(set(undone)) == len(undone), f"V4: undone twice: {undone}")
        if started:
            backward = [step for step in started[::-1] if step in undone]
            history.require(undone == backward, f"V3: undone {undone}, started {started}")
        attempts = [(event["data"]["step"], event["data"]["attempt"]) for event in events if event["type"] == STARTED]
        once = self.moves_handed_over or len(set(attempts)) == len(attempts)
        history.require(once, f"V9: an attempt started twice: {attempts}")
        done = [event["data"]["step"] for event in events if event["type"] == COMPLETED]
        history.require(len(set(done)) == len(done), f"V9: completed twice: {done}")

    def _check_cancel(self, history: "_RunHistory", run: Facts, events: list[Facts], end: Facts) -> None:
        types = [event["type"] for event in events]
        first_answer = self.accepted.get(run["id"])
        if first_answer is not None:
            history.require(run["status"] == "CANCELLED", "V5: the cancel was accepted, but the run is not CANCELLED")
        if run["id"] in self.refused and self.refused[run["id"]] == TenantState.ACTIVE:
            history.require(run["status"] == "SUCCEEDED", "V5: a refusal named ACTIVE, but the run did not succeed")
        if run["status"] != "CANCELLED":
            return
        history.require(types.count(REQUESTED) == 1, "V7: not exactly one cancel request")
        request = events[types.index(REQUESTED)]
        said = (request["actor"]["id"], request["data"]["reason"])
        history.require(said == (first_answer or said), f"V7: {said} instead of {first_answer}")
        history.require(end["data"]["reason"] == said[1], "V7: the end event has another reason")
        history.require(bool(end["data"]["cancelled_by"]), "V7: the end event has no author")

    def _expected(self, tenant: Facts) -> set[str]:
        if tenant["state"] not in {"ACTIVE", "SUSPENDED"}:
            return set()
        resource_names = self._names(
            tenant, next(r["number"] for r in nodes(tenant["runs"]) if r["status"] == "SUCCEEDED")
        )
        host = f"{resource_names.address}.{self.clients.testbed.settings.tenant_domain}"
        names = {
            resource_names.schema,
            f"{resource_names.role} (role)",
            resource_names.signing_key,
            resource_names.account,
            resource_names.workload,
        }
        return names | {f"{resource_names.stem} at {host}"}

    def _check_adapters(self, tenant: Facts) -> None:
        if tenant["state"] not in EMPTY_STATES:
            return
        database = Database(self.clients.testbed.settings, name="tenantry-invariant-checker")
        try:
            infrastructure = adapters.infrastructure(self.clients.testbed.settings, database)
            for run in nodes(tenant["runs"]):
                found = infrastructure.present(self._names(tenant, run["number"]))
                assert not found, f"V2: the adapters still find {found} of {tenant['slug']}"
        finally:
            database.close()

    def _names(self, tenant: Facts, run_number: int) -> ResourceNames:
        address = f"{tenant['slug']}-{self.clients.organisation.slug}"
        return ResourceNames(UUID(tenant["databaseId"]), address, run_number)

    def _check_mails(self, tenants: list[Facts], by_run: dict[str, list[Facts]]) -> None:
        caught = self.mails()
        for tenant in tenants:
            live = any(run["status"] == "SUCCEEDED" for run in nodes(tenant["runs"]))
            for run in nodes(tenant["runs"]):
                mails_sent = [event["type"] for event in by_run[run["id"]]].count(MAIL)
                assert mails_sent <= (run["status"] == "SUCCEEDED"), f"V11: {tenant['slug']} got a welcome email"
            assert live or not caught[self.clients.owner.mail_of(tenant["slug"])], (
                f"V11: a welcome email was sent for {tenant['slug']}"
            )

    def unsettled(self) -> str:
        """The tenants with unfinished runs, and the feed of the first."""
        live = [one for one in self.tenants() if one["state"] in {"PROVISIONING", "DECOMMISSIONING"}]
        lines = [f"{one['slug']}: {[(r['number'], r['status']) for r in nodes(one['runs'])]}" for one in live[:10]]
        feed = []
        for tenant in live[:1]:
            mine = self.pages(FEED, "auditEvents", filter={"tenantId": tenant["id"]})[::-1]
            feed = [f"  {_line(event)}" for event in mine]
        return "\n".join([f"{len(live)} unfinished", *lines, *feed, self.clients.testbed.log_excerpts()])

    def pages(self, document: str, name: str, **variables: object) -> list[Facts]:
        found: list[Facts] = []
        after = None
        while True:
            page = self.clients.owner.execute(document, after=after, **variables)[name]
            found += nodes(page)
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]


@dataclass(frozen=True)
class _RunHistory:
    """One run with its events, which a failed check prints."""

    tenant: Facts
    run: Facts
    events: list[Facts]

    def require(self, condition: bool, failure: str) -> None:  # noqa: FBT001  # the checked condition
        run = f"run {self.run['number']} {self.run['status']}, {uuid_of(self.run['id'])}"
        head = f"{failure} ({self.tenant['slug']}, {self.tenant['state']}, {run}). Its feed:"
        assert condition, "\n".join([head, *(f"  {_line(event)}" for event in self.events)])


def nodes(connection: Facts) -> list[Facts]:
    """The nodes of this page of a connection."""
    return [edge["node"] for edge in connection["edges"]]


def _line(event: Facts) -> str:
    what, data = event["type"].removeprefix("tenant."), event["data"]
    return f"{what} {data.get('step', '')} {data.get('attempt', '')} ({event['actor']['displayName']})"
