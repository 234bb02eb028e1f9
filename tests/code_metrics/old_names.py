"""Names that went: what each is called today, and where an old one is still found."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.code_metrics.english import Room, room_of, tracked

ARROW = re.compile(r"(\S+) → (.+)")

MODULES = dict(
    ARROW.findall("""
    provisioning.standing → access.principals
    provisioning.members → access.members
    provisioning.service_accounts → access.service_accounts
    provisioning.api_tokens → access.api_tokens
    provisioning.signing_in → access.sign_in
    provisioning.looks → access.support_access_log
    resolvers.permissions → access.permissions
    provisioning.duty → provisioning.due_runs
    provisioning.footprint → provisioning.resource_names
    provisioning.lookup → provisioning.locking
    provisioning.rules → provisioning.validation
    provisioning.paging → provisioning.pagination
    provisioning.reports → provisioning.error_messages
    provisioning.journal → provisioning.step_journal
    provisioning.planning → provisioning.run_plan
    provisioning.history → provisioning.audit_feed
    provisioning.exporting → provisioning.audit_export
    provisioning.welcome → provisioning.welcome_emails
    provisioning.mails → provisioning.welcome_emails
    provisioning.holding → provisioning.claims
    workers.courier → workers.dispatcher
    workers.live → workers.running_steps
    workers.cancellation → workers.cancel_listener
    workers.threads → workers.periodic_thread
    adapters.interruption → adapters.guarded_calls
    adapters.slots → adapters.guarded_calls
    adapters.unhurried → adapters.guarded_calls
    adapters.capped → adapters.guarded_calls
    adapters.worlds → adapters.registry
    adapters.factories → adapters.registry
    adapters.faults → adapters.fault_injection
    adapters.kit.patience → adapters.kit.stop_token
    runtime.reach → runtime.row_level_security
    runtime.giving_up → runtime.cancellable_queries
    server.auth → server.auth.tokens
    server.doorkeeper → server.auth.authenticator
    server.provider → server.auth.oidc
    server.origins → server.auth.csrf
    server.tokens → server.auth.issue
    server.endpoint → server.graphql.http
    server.sockets → server.graphql.websocket
    server.streams → server.graphql.sse
    server.documents → server.graphql.request
    server.answers → server.graphql.responses
    server.faults → server.graphql.error_masking
    server.trusted → server.graphql.trusted_documents
    server.limits → server.limits.document_limits
    server.extents → server.limits.document_metrics
    server.cost → server.limits.query_cost
    server.budgets → server.limits.rate_limit
    server.tally → server.limits.concurrency
    server.exports → server.audit_export.endpoint
    server.lines → server.audit_export.formats
    server.wishes → server.audit_export.filters
    server.entrance → server.dashboard
    server.front → server.index
    server.pages → server.web_pages
    server.asking → server.request_context
    server.peers → server.uvicorn_protocols
    server.serving → server.uvicorn_config
    edge.standing → edge.tenants
    edge.answers → edge.pages
    schema.connections → schema.pagination
    schema.results → schema.user_errors
    schema.evolution → schema.compatibility
    schema.sentences → schema.timeline_messages
    schema.offers → schema.provisioning_options
    schema.absence → schema.absence_check
    schema.tenants → schema.tenant_connection
    resolvers.carrying_out → resolvers.mutations
    resolvers.following → resolvers.subscriptions
    resolvers.managing → resolvers.members
    resolvers.offers → resolvers.provisioning_options
    resolvers.access → resolvers.organizations
    resolvers.bulk → resolvers.bulk_cancel
    devserver.claims → devserver.demo_checks
    devserver.holding → devserver.data_lock
    tests.crew → tests.worker_pool
    tests.scenes → tests.tenant_states
    tests.stage → tests.run_harness
    tests.outside → tests.builders
    tests.relays → tests.mail_relay
    tests.deployers → tests.local_deployer
    tests.scratch → tests.scratch_database
    tests.running → tests.running_product
    tests.conformance.weather → tests.conformance.flaky_infrastructure
    tests.conformance.lightning → tests.conformance.line_interrupts
    tests.conformance.chronicle → tests.conformance.invariant_checker
    tests.conformance.owners → tests.conformance.virtual_worker
    tests.conformance.hours → tests.conformance.clock
    tests.conformance.broken → tests.conformance.mutants
    tests.conformance.field.moments → tests.conformance.field.failpoints
    tests.conformance.field.removals → tests.conformance.field.mutants
    tests.conformance.field.witness → tests.conformance.field.invariant_checker
    tests.conformance.effort → tests.conformance.scale
    tests.conformance.field.abrupt → tests.conformance.field.abrupt_client
    tests.conformance.field.people → tests.conformance.field.api_clients
    tests.conformance.field.census → tests.conformance.field.resource_counts
    tests.conformance.field.campaign → tests.conformance.field.saga_load
    tests.conformance.field.staged → tests.conformance.field.product_process
    tests.conformance.field.relayed → tests.conformance.field.relay_clients
    tests.conformance.field.director → tests.conformance.field.failpoint_controller
    tests.conformance.field.processes → tests.conformance.field.testbed
    tests.conformance.field.scenarios.storms → tests.conformance.field.scenarios.random_faults
    tests.conformance.field.scenarios.watching → tests.conformance.field.scenarios.subscriptions
    tests.conformance.field.scenarios.undoing → tests.conformance.field.scenarios.compensation
    tests.conformance.field.mutants.storms → tests.conformance.field.mutants.workers
    tests.conformance.field.mutants.watching → tests.conformance.field.mutants.subscriptions
    tests.conformance.field.mutants.undoing → tests.conformance.field.mutants.compensation
    tests.conformance.field.mutants.promises → tests.conformance.field.mutants.welcome_emails
    dashboard.app.tenants.wish → dashboard.app.tenants.url-filters
    dashboard.app.audit.wish → dashboard.app.audit.url-filters
    dashboard.app.audit.moment → dashboard.app.audit.date-time-field
    dashboard.app.audit.exporting → dashboard.app.audit.download
    dashboard.app.audit.facts → dashboard.app.audit.event-details
    dashboard.app.tenant.held → dashboard.app.tenant.held-resources
    dashboard.app.tenant.live → dashboard.app.tenant.live-updates
    dashboard.app.tenant.sign-of-life → dashboard.app.tenant.step-heartbeat
    dashboard.app.tenant.dialogs.go-on → dashboard.app.tenant.dialogs.resume-undo
    dashboard.app.tenant.looks → dashboard.app.tenant.use-absence-checks
    dashboard.app.tenant.proof → dashboard.app.tenant.absence-checks
    dashboard.app.people.fresh → dashboard.app.people.refetch-after-refusal
    dashboard.app.people.place → dashboard.app.people.paged-query
    dashboard.app.people.token-shown → dashboard.app.people.issued-token
    dashboard.app.sign-in.at-provider → dashboard.app.sign-in.provider-sign-in
    dashboard.app.sign-in.offer → dashboard.app.sign-in.options
    dashboard.app.ui.pages → dashboard.app.ui.pagination
    dashboard.app.api.link → dashboard.app.api.connection-status
    dashboard.app.api.resuming → dashboard.app.api.resumable-subscription
    dashboard.app.api.throttled → dashboard.app.api.throttle
    dashboard.e2e.people → dashboard.e2e.users
    dashboard.e2e.screen → dashboard.e2e.page-objects
    dashboard.e2e.cable → dashboard.e2e.websocket-proxy
    tests.clients.cable → tests.clients.tcp-proxy
    dashboard.app.api.healing → dashboard.app.api.refetch-on-reconnect
    """)
)
"""Found as a file, in an import, and written with dots or slashes."""

WORDS = dict(
    ARROW.findall("""
    nudge → redispatch
    nudges → redispatches
    nudged → dispatched
    duty → due_runs
    testify → record_absence_check
    footprint → resource_names
    patience → stop_token or timeout
    linger → simulate_delay
    doorkeeper → authenticator
    courier → dispatcher
    mover → step_runner
    insist → retry_until_available
    unhurried → interruptible_port
    entrance → dashboard
    extents → document_metrics
    tally → concurrency
    wishes → filters or options
    crew → worker_pool
    weather → flaky_infrastructure
    lightning → line_interrupts
    chronicle → invariant_checker
    witness → invariant_checker
    """)
)
"""Found anywhere, also as a part of a name: courier, Courier, courier_of."""

NAMES = dict(
    ARROW.findall("""
    World → Infrastructure
    Sight → ProbeResult
    Trip → StopSignal
    NobodyStops → NeverStops
    NOBODY_STOPS → NEVER_STOPS
    Whose → PrincipalRef
    Pass → AuthResult
    Visit → LiveSession
    DoorClosed → AuthenticationUnavailable
    make_rounds → revalidate_forever
    LiveClaims → RunningSteps
    Performance → RunningStep
    Capped → LimitedPort
    Reach → RowScope
    go_under → set_role
    GO_UNDER → SET_ROLE
    giving_up → cancellable_queries
    carrying_out → mutations
    Look → TimelinePage
    FeedLook → FeedPage
    Extent → OperationMetrics
    Wish → ExportFilter
    WORDS → TEXT_ARRAY
    IDS → UUID_ARRAY
    BIG → BIGINT
    Hours → Clock
    Moment → Failpoint
    Stage → RunHarness
    stage_in → run_harness_in
    """)
)
"""Found as an identifier in Python: as English words they are at home."""

ONLY_IN_THE_PRODUCT = {"WORDS", "IDS", "BIG"}
"""Names that a test may give to something else."""

STAY = {
    ("CHANGELOG.md", "nudged"): "the changelog names what was renamed",
    ("CHANGELOG.md", "footprint"): "the same",
    ("CHANGELOG.md", "provisioning.footprint"): "the same",
    ("CHANGELOG.md", "patience"): "the same",
    ("alembic/versions/", "nudged"): "a migration names the column as it was called then",
    ("docs/adr/0017-", "nudged"): "the decision names the column as it was called then",
    ("docs/index.md", "nudged"): "the address of that decision",
    ("models/columns.py", "nudged"): "the release before this one still writes the column",
    ("tests/integration/test_migrations.py", "nudged"): "the test of the column's rename",
    ("tests/conformance/field/abrupt_client.py", "linger"): "the socket option SO_LINGER",
    ("formal/", "witness"): "in a model checker a witness is a state that is to be reached",
}
"""Where an old name is needed: the beginning of a path, the name, and why."""

NOT_READ = (
    "tests/code_metrics/old_names.py",
    "tests/unit/test_code_metrics.py",
    "tests/promises/test_words.py",
    "LICENSE",
)
"""The table, what tests it, and a text that is not ours."""

NO_TEXT = (".png", ".svg", ".lock", "package-lock.json")
NOW_PACKAGES = {"server.auth", "server.limits"}
"""Their old names are in use again, so that only a file of that name is an old one."""

WORD = re.compile(
    rf"(?<![A-Za-z])(?i:{'|'.join(WORDS)})(?![a-z])|(?<=[a-z])(?:{'|'.join(map(str.title, WORDS))})(?![a-z])"
)
SPOKEN_MODULES = sorted(set(MODULES) - NOW_PACKAGES)
MODULE = re.compile(
    rf"(?<![\w./-])(?:{'|'.join(re.escape(name).replace(re.escape('.'), '[./]') for name in SPOKEN_MODULES)})(?![\w-])"
)
IMPORT_IN_TYPESCRIPT = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']*)["']""")


class OldName(NamedTuple):
    """An old name that is still in use."""

    path: str
    line: int
    old: str
    new: str

    @property
    def stays(self) -> tuple[str, str] | None:
        """The entry of ``STAY`` that allows it."""
        fitting = [entry for entry in STAY if self.path.startswith(entry[0]) and self.old.lower() == entry[1]]
        return next(iter(fitting), None)


def old_names(root: Path) -> list[OldName]:
    """Every one in the tracked text files of a checkout, but those that stay."""
    return [one for one in all_old_names(root) if one.stays is None]


def all_old_names(root: Path) -> Iterator[OldName]:
    """Every one, also those that stay."""
    for path in tracked(root):
        if path in NOT_READ or path.endswith(NO_TEXT):
            continue
        text = (root / path).read_text()
        found = {*_named_so(path), *_written_in(path, text)}
        if path.endswith(".py"):
            found |= {*_imported_by(path, text), *_identifiers_in(path, text)}
        elif room_of(path) in {Room.PAGES, Room.PAGE_TESTS}:
            found |= set(_imported_by_a_page(path, text))
        yield from sorted(found)


def _named_so(path: str) -> Iterator[OldName]:
    name = re.sub(r"(/__init__)?\.(py|tsx?|js)$", "", path).replace("/", ".")
    if name in MODULES and name not in (NOW_PACKAGES if path.endswith("__init__.py") else ()):
        yield OldName(path, 1, name, MODULES[name])


def _written_in(path: str, text: str) -> Iterator[OldName]:
    for number, line in enumerate(text.splitlines(), start=1):
        for found in WORD.findall(line):
            yield OldName(path, number, found, WORDS[found.lower()])
        for found in MODULE.findall(line):
            # In Python, server.pages may be an attribute: what is a module is seen in the imports.
            if not path.endswith(".py") or "/" in found:
                yield OldName(path, number, found, MODULES[found.replace("/", ".")])


def _imported_by(path: str, text: str) -> Iterator[OldName]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                named = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Import(names=names):
                named = [alias.name for alias in names]
            case _:
                continue
        for name in set(named) & set(SPOKEN_MODULES):
            yield OldName(path, node.lineno, name, MODULES[name])


def _identifiers_in(path: str, text: str) -> Iterator[OldName]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.string in ONLY_IN_THE_PRODUCT and path.startswith("tests/"):
            continue
        if token.type == tokenize.NAME and token.string in NAMES:
            yield OldName(path, token.start[0], token.string, NAMES[token.string])


def _imported_by_a_page(path: str, text: str) -> Iterator[OldName]:
    for number, line in enumerate(text.splitlines(), start=1):
        for target in IMPORT_IN_TYPESCRIPT.findall(line):
            name = ".".join((Path("/", path).parent / target.removesuffix(".js")).resolve().parts[1:])
            if name in MODULES:
                yield OldName(path, number, name, MODULES[name])
