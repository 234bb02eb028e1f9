"""The mutation cancelProvisionings: some tenants in each transaction, one result for each tenant."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlmodel import Session

from access.permissions import Permission
from models import TenantState
from provisioning import cancellation, idempotency, queries
from provisioning.actors import Actor
from provisioning.cancellation import BulkCancelResult
from provisioning.errors import IllegalMove, Malformed, NotFound, ProvisioningRefused
from provisioning.idempotency import KeyedCall, Outcome, Performed
from provisioning.queries import TenantFilter
from resolvers import denials
from resolvers.mutations import answer_of, keyed_call, mutation
from schema.context import Context, Info
from schema.enums import UserErrorCode
from schema.node import parts_of
from schema.pagination import given
from schema.tenant_mutations import (
    MAX_TENANTS_PER_CALL,
    CancelProvisioningPayload,
    CancelProvisioningsInput,
    CancelProvisioningsPayload,
)
from schema.user_errors import GenericError, InvalidStateError, UserError, user_error_of

IN_ONE_COMMIT = 250
"""Tenants with runs that are locked together: for about a fifth of a second."""


@mutation(Permission.CANCEL, CancelProvisioningsPayload)
async def cancel_provisionings(info: Info, input: CancelProvisioningsInput) -> CancelProvisioningsPayload | None:
    """Put the requests on record, some in each transaction. A call that is refused as a whole changes nothing."""
    context = info.context
    answers = await _cancel_part_by_part(context, input, keyed_call(info, input))
    if missing := _missing(answers):
        await denials.put_on_record(info, missing)
    payloads = await asyncio.gather(*(_payload_of(context, one) for one in answers))
    return CancelProvisioningsPayload(results=list(payloads))


async def _cancel_part_by_part(
    context: Context, input: CancelProvisioningsInput, call: KeyedCall | None
) -> list[Outcome]:
    """The answers, in the order of the ids. Each part is kept with its effect, so a repeat goes on where this ends."""

    def part(session: Session, before: Outcome | None) -> Outcome:
        if call:
            before = idempotency.stored_outcome(session, call)
        done = _next_part(session, input, context.actor, before)
        if call and done is not before:
            idempotency.store_outcome(session, call, done)
        return done

    done = await context.transact(part, None)
    while _left(done):
        done = await context.transact(part, done)
    return [done["answers"][one] if one else _refused(NotFound("tenant")) for one in done["wanted"]]


def _next_part(session: Session, input: CancelProvisioningsInput, actor: Actor, before: Outcome | None) -> Outcome:
    """The answers so far, and those of the next tenants."""
    done = before or {"wanted": [one and str(one) for one in _wanted(session, input, actor)], "answers": {}}
    part = [UUID(one) for one in _left(done)[:IN_ONE_COMMIT]]
    if before and not part:
        return before
    answers = cancellation.cancel_provisionings(session, part, by=actor, reason=given(input.reason))
    return {**done, "answers": done["answers"] | {str(answer.tenant_id): _kept(answer) for answer in answers}}


def _left(done: Outcome) -> list[str]:
    """Tenants without an answer, in the order of ids."""
    return sorted({one for one in done["wanted"] if one} - done["answers"].keys())


def _missing(answers: Sequence[Outcome]) -> NotFound | None:
    """What the caller's feed records about ids that name no tenant, or another organisation's."""
    missing = sum(1 for one in answers if (one.get("refusal") or {}).get("code") == UserErrorCode.NOT_FOUND)
    return NotFound(f"tenant for {missing} of {len(answers)} ids") if missing else None


def _wanted(session: Session, input: CancelProvisioningsInput, actor: Actor) -> Sequence[UUID | None]:
    """The tenants that the input names; None for an id that names none."""
    ids, conditions = given(input.tenant_ids), given(input.filter)
    if (ids is None) == (conditions is None):
        raise Malformed("tenant_ids", "Give tenantIds or a filter, and not both.")
    if ids is not None:
        return [_tenant_of(one) for one in _few_enough(ids)]
    assert conditions is not None, "one of the two was given"
    return _few_enough(_provisioning(session, conditions.to_domain(), actor))


def _provisioning(session: Session, conditions: TenantFilter, actor: Actor) -> list[UUID]:
    states = conditions.states
    if states is not None and TenantState.PROVISIONING not in states:
        return []
    wanted = TenantFilter(
        states=[TenantState.PROVISIONING],
        plans=conditions.plans,
        slug_prefix=conditions.slug_prefix,
        created_from=conditions.created_from,
        created_until=conditions.created_until,
    )
    return queries.tenant_ids(session, wanted, MAX_TENANTS_PER_CALL + 1, by=actor)


def _few_enough(ids: Sequence[Any]) -> Sequence[Any]:
    if len(ids) > MAX_TENANTS_PER_CALL:
        raise Malformed("tenant_ids", f"That is more than {MAX_TENANTS_PER_CALL} tenants: ask for fewer at once.")
    return ids


def _tenant_of(global_id: str) -> UUID | None:
    parts = parts_of(global_id)
    return parts[1] if parts and parts[0] == "Tenant" else None


def _kept(answer: BulkCancelResult) -> Outcome:
    if answer.refusal is not None:
        return _refused(answer.refusal, answer.tenant_id)
    return {
        "tenant_id": str(answer.tenant_id),
        "run_id": str(answer.run_id),
        "already_requested": answer.already_requested,
    }


def _refused(refusal: ProvisioningRefused, tenant_id: UUID | None = None) -> Outcome:
    """What is kept of a refusal, so that a repeat of the call gets the same answer."""
    error = user_error_of(refusal)
    states = {"current": refusal.state, "allowed": list(refusal.allowed)} if isinstance(refusal, IllegalMove) else None
    visible = tenant_id is not None and not isinstance(refusal, NotFound)
    return {
        "tenant_id": str(tenant_id) if visible else None,
        "refusal": {"code": error.code, "message": error.message, "states": states},
    }


async def _payload_of(context: Context, kept: Outcome) -> CancelProvisioningPayload:
    refusal = kept.get("refusal")
    errors = [_user_error(refusal)] if refusal else []
    if kept["tenant_id"] is None:
        return CancelProvisioningPayload(user_errors=errors)
    answer = await answer_of(context, Performed({"run_id": None, "already_requested": False, **kept}))
    return CancelProvisioningPayload(
        tenant=answer.tenant, run=answer.run, already_requested=answer.already_requested, user_errors=errors
    )


def _user_error(kept: dict[str, Any]) -> UserError:
    code, message, path = UserErrorCode(kept["code"]), kept["message"], ["input", "tenantIds"]
    if kept["states"] is None:
        return GenericError(code=code, message=message, field=path)
    return InvalidStateError(
        code=code,
        message=message,
        field=path,
        current_state=TenantState(kept["states"]["current"]),
        allowed_states=[TenantState(state) for state in kept["states"]["allowed"]],
    )
