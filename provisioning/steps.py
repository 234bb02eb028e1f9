"""The provisioning saga, in the order in which its steps run."""

from datetime import timedelta

from provisioning.ports import Refused, TearDown, WorkloadOrder
from provisioning.saga import Done, NotYet, Outcome, PartDone, Saga, Takes
from provisioning.step_context import StepContext
from provisioning.welcome_emails import welcome_mails

saga = Saga()

ABSENCE_CHECK_DELAYS = (timedelta(seconds=30), timedelta(hours=1), timedelta(days=1))
"""Times between the absence checks of a run. The first is longer than any call of a built-in adapter can be late."""


@saga.step("Validate the request", timeout=timedelta(seconds=30), attempts=1)
def validate_request(ctx: StepContext) -> None:
    if errors := ctx.journal.validation_errors():
        raise Refused(" ".join(errors))


@saga.step(
    "Allocate storage",
    timeout=timedelta(minutes=5),
    attempts=5,
    takes=[
        Takes("postgres_role", lambda names, _: names.role),
        Takes("postgres_schema", lambda names, _: names.schema),
    ],
)
def allocate_storage(ctx: StepContext) -> None:
    ctx.infrastructure.storage.create(ctx.names)


@allocate_storage.compensation
def release_storage(ctx: StepContext) -> None:
    ctx.infrastructure.storage.destroy(ctx.names)


@saga.step(
    "Allocate identity",
    timeout=timedelta(minutes=5),
    attempts=5,
    takes=[
        Takes("signing_key", lambda names, _: names.signing_key),
        Takes("admin_account", lambda names, _: names.account),
    ],
)
def allocate_identity(ctx: StepContext) -> None:
    ctx.infrastructure.identity.create(ctx.names, ctx.tenant.first_admin_email)


@allocate_identity.compensation
def release_identity(ctx: StepContext) -> None:
    ctx.infrastructure.identity.destroy(ctx.names)


@saga.step(
    "Reserve the host name",
    timeout=timedelta(minutes=5),
    attempts=5,
    takes=[Takes("host_name", lambda _, tenant: tenant.host_name)],
)
def allocate_traffic(ctx: StepContext) -> None:
    ctx.infrastructure.traffic.reserve(ctx.names)


@allocate_traffic.compensation
def release_traffic(ctx: StepContext) -> None:
    ctx.infrastructure.traffic.release(ctx.names)


@saga.step("Apply the schema", timeout=timedelta(minutes=5), attempts=5)
def apply_schema(ctx: StepContext) -> None:
    """This step takes no resource: its tables are in the tenant's schema and are destroyed with it."""
    ctx.infrastructure.storage.migrate(ctx.names)


@saga.step(
    "Deploy the workload",
    timeout=timedelta(minutes=10),
    attempts=3,
    undo_timeout=timedelta(minutes=10),
    takes=[Takes("workload", lambda names, _: names.workload)],
)
def deploy_workloads(ctx: StepContext) -> None:
    ctx.infrastructure.deployer.deploy(order_of(ctx), ctx)


@deploy_workloads.compensation
def tear_down_workloads(ctx: StepContext) -> Outcome:
    result = ctx.infrastructure.deployer.tear_down(ctx.names, ctx)
    if result:
        return Done()
    if isinstance(result, TearDown):
        ctx.progress(result.percent, result.summary)
    return NotYet(after=timedelta(seconds=1))


@saga.step("Wait until the workload is ready", timeout=timedelta(minutes=10), attempts=5)
def await_readiness(ctx: StepContext) -> Outcome:
    health = ctx.infrastructure.deployer.health(ctx.names, ctx)
    ctx.checkpoint()
    if health.ready:
        return Done()
    ctx.progress(health.percent, health.summary)
    return NotYet(after=timedelta(seconds=2))


@saga.pivot("Go live", timeout=timedelta(seconds=30), attempts=10)
def mark_active(_: StepContext) -> None:
    """The point of no return: after its commit the tenant is ACTIVE, and the run cannot be cancelled."""


@saga.afterwards("Send the welcome e-mails", timeout=timedelta(minutes=1), attempts=5)
def send_welcome_emails(ctx: StepContext) -> Outcome:
    """Send the next mail. A further attempt goes on after the mails that the relay has accepted.

    The last mail is recorded together with the end of the step, which follows at once.
    """
    mails, number = welcome_mails(ctx.tenant), ctx.parts_done + 1
    if number <= len(mails):
        ctx.infrastructure.mailer.send(mails[number - 1])
    if number < len(mails):
        return PartDone(number)
    return Done(parts_done=len(mails))


@saga.confirmation("Check that every resource is absent", timeout=timedelta(days=3), attempts=30)
def confirm_absence(ctx: StepContext) -> Outcome:
    """Probe the adapters several times, because effects can come late: from a delayed call or a paused worker."""
    abandoned, result = ctx.journal.abandoned(), ctx.infrastructure.probe(ctx.names)
    ctx.checkpoint()
    found = [name for name in result.found if name not in abandoned.names]
    found_abandoned = [name for name in result.found if name in abandoned.names]
    if not found:
        result.require_every_answer()
    checks = ctx.journal.record_absence_check(found, found_abandoned, complete=not result.errors)
    if found:
        saga.compensate_every_step(ctx, except_for=abandoned.steps)
        result.require_every_answer()
    elif checks > len(ABSENCE_CHECK_DELAYS):
        return Done()
    return NotYet(after=ABSENCE_CHECK_DELAYS[min(checks, len(ABSENCE_CHECK_DELAYS)) - 1])


def order_of(ctx: StepContext) -> WorkloadOrder:
    """The order for the deployer."""
    return WorkloadOrder(
        names=ctx.names,
        tenant_slug=ctx.tenant.slug,
        organisation_slug=ctx.tenant.organisation_slug,
        region=ctx.tenant.region,
        plan=ctx.tenant.plan,
        host_name=ctx.tenant.host_name,
    )
