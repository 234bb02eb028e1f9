"""The one way in which a mutation is carried out: permission, one transaction, once per key, refusals as data."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

from graphql import FieldNode, SelectionNode
from sqlmodel import Session

from access.permissions import Permission, require
from provisioning import idempotency
from provisioning.errors import Malformed, NotFound, NotPermitted, ProvisioningRefused
from provisioning.idempotency import Once, Outcome
from provisioning.locking import Change
from resolvers import denials
from schema.context import Context, Info
from schema.node import parts_of, uuid_of
from schema.pagination import given
from schema.run import ProvisioningRun
from schema.tenant import Tenant
from schema.user_errors import UserError, user_error_of

P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W")
Work = Callable[[Session], Change]

WHERE_NULL_COUNTS = frozenset({"provisioning_deadline", "tenant_ids", "expires_at"})
"""Arguments for which null is not the same as nothing."""


SEVERAL_FIELDS = "The header Idempotency-Key is for an operation of one field: give each an idempotencyKey instead."


class KeyedInput(Protocol):
    """The input of any mutation."""

    idempotency_key: str | None


class TenantInput(KeyedInput, Protocol):
    """The input of a mutation of one tenant."""

    tenant_id: Any
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mutation answers with: the objects as they are after the call, or why nothing was done."""

    tenant: Tenant | None = None
    run: ProvisioningRun | None = None
    already_requested: bool = False
    user_errors: list[UserError] = field(default_factory=list)


async def change_tenant(
    info: Info,
    permission: Permission,
    input: TenantInput,
    command: Callable[Concatenate[Session, UUID, P], Change],
    *facts: P.args,
    **more: P.kwargs,
) -> Answer:
    """Carry out a command on the tenant that the input names."""

    def work(session: Session) -> Change:
        tenant_id = uuid_of("Tenant", input.tenant_id, called="tenant")
        return command(session, tenant_id, *facts, **more)

    answer = await carry_out(info, permission, input, work)
    return answer if answer.tenant else await _with_tenant(info.context, answer, input.tenant_id)


async def carry_out(info: Info, permission: Permission, input: KeyedInput, work: Work) -> Answer:
    """Carry out ``work``; a refusal becomes user errors, and one that concerns access goes on record."""
    done, user_errors = await attempt(info, permission, input, _outcome_of, work)
    if done is None:
        return Answer(user_errors=user_errors)
    outcome, change = done
    if change is not None:
        _prime(info.context, change)
    return await answer_of(info.context, outcome)


async def attempt(
    info: Info,
    permission: Permission,
    input: KeyedInput,
    once: Callable[[Session, W, Once | None], T],
    work: W,
) -> tuple[T | None, list[UserError]]:
    """What came of ``work``, done ``once`` for each key; or nothing and why."""
    context = info.context
    context.renew()
    try:
        require(context.caller, permission, action_of(info))
        return await context.transact(once, work, call_of(info, input)), []
    except ProvisioningRefused as refusal:
        if isinstance(refusal, NotFound | NotPermitted):
            await denials.put_on_record(info, refusal, [input.tenant_id] if hasattr(input, "tenant_id") else [])
        return None, [user_error_of(refusal)]


def action_of(info: Info) -> str:
    """What the caller tried, as GraphQL names it."""
    return str(info.field_name)


def call_of(info: Info, input: KeyedInput) -> Once | None:
    """What tells this call from others, when the caller wants it done once. Raises Malformed."""
    key = given(input.idempotency_key)
    if key is None:
        key = _key_of_request(info)
    if key is None:
        return None
    return Once(info.context.actor.id, action_of(info), key, _digest(input))


def _key_of_request(info: Info) -> str | None:
    """The key in the headers: for the one field of an operation, never for several that would share it."""
    key = info.context.idempotency_key
    asked = [one for one in info.operation.selection_set.selections if not _is_meta_field(one)]
    # A fragment may hold any number of fields.
    if key is not None and not (len(asked) == 1 and isinstance(asked[0], FieldNode)):
        raise Malformed("idempotency_key", SEVERAL_FIELDS)
    return key


def _is_meta_field(selection: SelectionNode) -> bool:
    """Whether it is a field such as ``__typename``, which clients add."""
    return isinstance(selection, FieldNode) and selection.name.value.startswith("__")


def run_once(session: Session, call: Once | None, work: Callable[[], Outcome]) -> Outcome:
    """Do the work, or give the answer that its key stands for."""
    return idempotency.once(session, call, work) if call else work()


async def answer_of(context: Context, outcome: Outcome) -> Answer:
    """The answer to a call, from what was kept of it."""
    tenant = await context.loaders.tenants.load(UUID(outcome["tenant_id"]))
    run = await context.loaders.runs.load(UUID(outcome["run_id"])) if outcome["run_id"] else None
    return Answer(Tenant.of_optional(tenant), ProvisioningRun.of_optional(run), outcome["already_requested"])


def outcome_of(change: Change) -> Outcome:
    """What is kept of a change."""
    return {
        "tenant_id": str(change.tenant.id),
        "run_id": str(change.run.id) if change.run else None,
        "already_requested": change.already_requested,
    }


def _outcome_of(session: Session, work: Work, call: Once | None) -> tuple[Outcome, Change | None]:
    """The outcome, and the change itself unless it was made by an earlier call."""
    changes: list[Change] = []

    def do() -> Outcome:
        changes.append(work(session))
        return outcome_of(changes[0])

    outcome = run_once(session, call, do)
    return outcome, changes[0] if changes else None


def _prime(context: Context, change: Change) -> None:
    """The client is shown the rows of its own transaction, not what others made of them since."""
    context.loaders.tenants.prime(change.tenant.id, change.tenant)
    if change.run is not None:
        context.loaders.runs.prime(change.run.id, change.run)


async def _with_tenant(context: Context, refused: Answer, global_id: str) -> Answer:
    """A refusal shows the tenant as it is, to those who may read it."""
    parts = parts_of(global_id)
    if parts is None or parts[0] != "Tenant" or Permission.READ_TENANTS.value not in context.caller.scopes:
        return refused
    return Answer(
        tenant=Tenant.of_optional(await context.loaders.tenants.load(parts[1])), user_errors=refused.user_errors
    )


def _tells(name: str, value: object) -> bool:
    """Whether the value of an argument makes a difference."""
    return given(value) is not None or (value is None and name in WHERE_NULL_COUNTS)


def _digest(input: KeyedInput) -> str:
    facts = {name: value for name, value in asdict(input).items() if _tells(name, value)}  # type: ignore[call-overload]  # every input is a dataclass
    facts.pop("idempotency_key", None)
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
