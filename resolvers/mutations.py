"""How a mutation runs: authorized, in one transaction, once for each idempotency key, with refusals as user errors."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial, wraps
from typing import Any, TypeVar
from uuid import UUID

from graphql import FieldNode, SelectionNode
from sqlmodel import Session

from access.permissions import Permission, require
from provisioning import idempotency
from provisioning.errors import Malformed, NotFound, NotPermitted, ProvisioningRefused
from provisioning.idempotency import KeyedCall, Outcome, Performed
from provisioning.locking import Change
from resolvers import denials
from schema.context import Context, Info
from schema.mutation_base import MutationInput, MutationPayload, VersionedInput
from schema.node import parts_of, uuid_of
from schema.pagination import given
from schema.run import ProvisioningRun
from schema.tenant import Tenant
from schema.tenant_mutations import TenantInput, TenantPayload
from schema.user_errors import user_error_of

T = TypeVar("T")
InputT = TypeVar("InputT", bound=MutationInput)
PayloadT = TypeVar("PayloadT", bound=MutationPayload)
Resolver = Callable[[Info, InputT], Awaitable[PayloadT | None]]

NULLABLE_ARGUMENTS = frozenset({"provisioning_deadline", "tenant_ids", "expires_at"})
"""Arguments for which null differs from absent."""

SEVERAL_FIELDS = "The header Idempotency-Key is for an operation of one field: give each an idempotencyKey instead."


@dataclass(frozen=True, slots=True)
class TenantAnswer:
    """The objects as they are after a call that changed a tenant."""

    tenant: Tenant | None
    run: ProvisioningRun | None = None
    already_requested: bool = False


def mutation(
    permission: Permission, payload: type[PayloadT]
) -> Callable[[Resolver[InputT, PayloadT]], Resolver[InputT, PayloadT]]:
    """Declare the resolver of a mutation: it runs for callers with ``permission`` only.

    A refusal, of the caller or by the domain, becomes ``payload`` with user errors. A denied attempt is recorded in the
    audit feed.
    """

    def declare(resolver: Resolver[InputT, PayloadT]) -> Resolver[InputT, PayloadT]:
        @wraps(resolver)
        async def authorized(info: Info, input: InputT) -> PayloadT | None:
            info.context.reset_loaders()
            try:
                require(info.context.caller, permission, info.field_name)
                return await resolver(info, input)
            except ProvisioningRefused as refusal:
                if isinstance(refusal, NotFound | NotPermitted):
                    await denials.record_denial(info, refusal, input.named_tenants())
                return await _refused(info.context, input, payload, refusal)

        return authorized

    return declare


async def change_tenant(info: Info, input: TenantInput, command: Callable[..., Change], **facts: Any) -> TenantAnswer:  # noqa: ANN401  # the command's arguments
    """Run a command on the tenant that the input names, and return the tenant and run as they are after it."""
    tenant_id = partial(uuid_of, "Tenant", input.tenant_id, called="tenant")
    performed = await run_command(info, input, command, tenant_outcome, tenant_id=tenant_id, **facts)
    return await answer_of(info.context, performed)


async def run_command(
    info: Info,
    input: MutationInput,
    command: Callable[..., T],
    outcome_of: Callable[[T], Outcome],
    **facts: Any,  # noqa: ANN401  # the command's arguments
) -> Performed[T]:
    """Run a command in one transaction, once for each idempotency key.

    The caller, and the expected version of an input that has one, are added to ``facts``. A fact that is a function is
    called in the transaction: a repeat of a call gets its stored outcome, even if an id in it has become invalid.
    Raises what the command raises.
    """
    if isinstance(input, VersionedInput):
        facts["expected_version"] = given(input.expected_version)

    def work(session: Session) -> T:
        values = {name: fact() if callable(fact) else fact for name, fact in facts.items()}
        return command(session, by=info.context.actor, **values)

    return await info.context.transact(idempotency.once, keyed_call(info, input), work, outcome_of)


def keyed_call(info: Info, input: MutationInput) -> KeyedCall | None:
    """The call with its idempotency key, None when the client gave no key. Raises Malformed."""
    key = given(input.idempotency_key)
    if key is None:
        key = _key_in_headers(info)
    return KeyedCall(info.context.actor.id, info.field_name, key, _digest(input)) if key is not None else None


def tenant_outcome(change: Change) -> Outcome:
    """The outcome that is stored for a command that changed a tenant."""
    return {
        "tenant_id": str(change.tenant.id),
        "run_id": str(change.run.id) if change.run else None,
        "already_requested": change.already_requested,
    }


async def answer_of(context: Context, performed: Performed[Change]) -> TenantAnswer:
    """The tenant and run of an outcome: the rows of this call's own transaction, or as they are now for a repeat."""
    if performed.result is not None:
        _prime(context, performed.result)
    outcome = performed.outcome
    tenant = await context.loaders.tenants.load(UUID(outcome["tenant_id"]))
    run = await context.loaders.runs.load(UUID(outcome["run_id"])) if outcome["run_id"] else None
    return TenantAnswer(Tenant.of_optional(tenant), ProvisioningRun.of_optional(run), outcome["already_requested"])


def _prime(context: Context, change: Change) -> None:
    """Show the client the rows of its own transaction, not what others have made of them since."""
    context.loaders.tenants.prime(change.tenant.id, change.tenant)
    if change.run is not None:
        context.loaders.runs.prime(change.run.id, change.run)


async def _refused(
    context: Context, input: MutationInput, payload: type[PayloadT], refusal: ProvisioningRefused
) -> PayloadT:
    """The payload of a refusal. It shows the tenant as it is, to callers that may read it."""
    refused = payload(user_errors=[user_error_of(refusal)])
    if isinstance(refused, TenantPayload) and isinstance(input, TenantInput):
        parts = parts_of(input.tenant_id)
        if parts is not None and parts[0] == "Tenant":
            refused.tenant = await tenant_of_refusal(context, parts[1])
    return refused


async def tenant_of_refusal(context: Context, tenant_id: UUID) -> Tenant | None:
    """The tenant that a refusal concerns, for callers that may read it. A refused call reveals nothing to others."""
    if not context.caller.may(Permission.READ_TENANTS):
        return None
    return Tenant.of_optional(await context.loaders.tenants.load(tenant_id))


def _key_in_headers(info: Info) -> str | None:
    """The key in the headers: for the one field of an operation, never for several fields that would share it."""
    key = info.context.idempotency_key
    fields = [one for one in info.operation.selection_set.selections if not _is_meta_field(one)]
    # A fragment may hold any number of fields.
    if key is not None and not (len(fields) == 1 and isinstance(fields[0], FieldNode)):
        raise Malformed("idempotency_key", SEVERAL_FIELDS)
    return key


def _is_meta_field(selection: SelectionNode) -> bool:
    """Whether it is a field such as ``__typename``, which clients add."""
    return isinstance(selection, FieldNode) and selection.name.value.startswith("__")


def _is_given(name: str, value: object) -> bool:
    """Whether the caller gave this argument: for some arguments null is a value."""
    return given(value) is not None or (value is None and name in NULLABLE_ARGUMENTS)


def _digest(input: MutationInput) -> str:
    facts = {name: value for name, value in asdict(input).items() if _is_given(name, value)}
    facts.pop("idempotency_key", None)
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
