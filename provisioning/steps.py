"""The provisioning saga. This file reads in the order in which it runs."""

from datetime import timedelta

from models import Tenant, TenantState
from provisioning import lifecycle
from provisioning.mails import welcome_mails
from provisioning.ports import Refused, WorkloadOrder
from provisioning.saga import Done, NotYet, Outcome, Saga, StepContext

saga = Saga()

LOOKS = (timedelta(seconds=30), timedelta(hours=1), timedelta(days=1))
"""Between the undo's end and each further look outside. The first is longer than any built-in call can be late."""


@saga.step("Validate the request", timeout=timedelta(seconds=30), attempts=1)
def validate_request(ctx: StepContext) -> None:
    if objections := ctx.journal.objections():
        raise Refused(" ".join(objections))


@saga.step("Allocate storage", timeout=timedelta(minutes=5), attempts=5)
def allocate_storage(ctx: StepContext) -> None:
    ctx.intend("postgres_role", ctx.footprint.role)
    ctx.intend("postgres_schema", ctx.footprint.schema)
    ctx.world.storage.create(ctx.footprint)


@allocate_storage.compensation
def release_storage(ctx: StepContext) -> None:
    ctx.world.storage.destroy(ctx.footprint)


@saga.step("Allocate identity", timeout=timedelta(minutes=5), attempts=5)
def allocate_identity(ctx: StepContext) -> None:
    ctx.intend("signing_key", ctx.footprint.signing_key)
    ctx.intend("admin_account", ctx.footprint.account)
    ctx.world.identity.create(ctx.footprint, ctx.tenant.first_admin_email)


@allocate_identity.compensation
def release_identity(ctx: StepContext) -> None:
    ctx.world.identity.destroy(ctx.footprint)


@saga.step("Reserve the host name", timeout=timedelta(minutes=5), attempts=5)
def allocate_traffic(ctx: StepContext) -> None:
    ctx.intend("host_name", ctx.tenant.host_name)
    ctx.world.traffic.reserve(ctx.footprint)


@allocate_traffic.compensation
def release_traffic(ctx: StepContext) -> None:
    ctx.world.traffic.release(ctx.footprint)


@saga.step("Apply the schema", timeout=timedelta(minutes=5), attempts=5)
def apply_schema(ctx: StepContext) -> None:
    """Takes nothing of its own: its tables live in the schema, and go with it."""
    ctx.world.storage.migrate(ctx.footprint)


@saga.step("Deploy the workload", timeout=timedelta(minutes=10), attempts=3)
def deploy_workloads(ctx: StepContext) -> None:
    ctx.intend("workload", ctx.footprint.workload)
    ctx.world.deployer.deploy(order_of(ctx), ctx)


@deploy_workloads.compensation
def tear_down_workloads(ctx: StepContext) -> Outcome:
    gone = ctx.world.deployer.tear_down(ctx.footprint, ctx)
    return Done() if gone else NotYet(after=timedelta(seconds=1))


@saga.step("Wait until the workload is ready", timeout=timedelta(minutes=10), attempts=5)
def await_readiness(ctx: StepContext) -> Outcome:
    health = ctx.world.deployer.health(ctx.footprint, ctx)
    ctx.progress(health.percent, health.summary)
    return Done() if health.ready else NotYet(after=timedelta(seconds=2))


@saga.pivot("Go live", timeout=timedelta(seconds=30), attempts=10)
def mark_active(tenant: Tenant) -> None:
    """The point of no return: once this commits, cancelling no longer applies."""
    lifecycle.transition(tenant, TenantState.ACTIVE)


@saga.afterwards("Send the welcome e-mails", timeout=timedelta(minutes=1), attempts=5)
def send_welcome_emails(ctx: StepContext) -> None:
    for mail in welcome_mails(ctx.tenant):
        ctx.world.mailer.send(mail)


@saga.confirmation("Ask again whether everything is gone", timeout=timedelta(days=3), attempts=30)
def confirm_absence(ctx: StepContext) -> Outcome:
    """Effects can come late: a call that was lost on its way, a worker that was paused. So this asks more than once."""
    left, sight = ctx.journal.abandoned(), ctx.world.look(ctx.footprint)
    ctx.checkpoint()
    found = [name for name in sight.found if name not in left.names]
    if not found:
        sight.demand_every_answer()
    looks = ctx.journal.testify(found)
    if found:
        saga.undo_everything(ctx, but=left.steps)
        sight.demand_every_answer()
    elif looks > len(LOOKS):
        return Done()
    return NotYet(after=LOOKS[min(looks, len(LOOKS)) - 1])


def order_of(ctx: StepContext) -> WorkloadOrder:
    """What the deployer is asked to run."""
    return WorkloadOrder(
        footprint=ctx.footprint,
        tenant_slug=ctx.tenant.slug,
        organisation_slug=ctx.tenant.organisation_slug,
        region=ctx.tenant.region,
        plan=ctx.tenant.plan,
        host_name=ctx.tenant.host_name,
    )
