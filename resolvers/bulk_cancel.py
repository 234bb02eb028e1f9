"""The mutation cancelProvisionings, which cancels for many tenants in several transactions."""

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
from resolvers.mutations import answer_of, keyed_call, mutation, tenant_of_refusal
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

TENANTS_PER_TRANSACTION = 250
"""Their runs are locked together, for about 0.2 s."""


@mutation(Permission.CANCEL, CancelProvisioningsPayload)
async def cancel_provisionings(info: Info, input: CancelProvisioningsInput) -> CancelProvisioningsPayload | None:
    """Record the cancels in parts, one transaction for each. A call that is refused as a whole changes nothing."""
    context = info.context
    answers = await _cancel_in_parts(context, input, keyed_call(info, input))
    if missing := _missing(answers):
        await denials.record_denial(info, missing)
    await _read_together(context, answers)
    return CancelProvisioningsPayload(results=[await _payload_of(context, one) for one in answers])


async def _cancel_in_parts(context: Context, input: CancelProvisioningsInput, call: KeyedCall | None) -> list[Outcome]:
    """The answers in the order of the ids. Each part is stored with its effect, so a repeat continues from there."""

    def part(session: Session, before: Outcome | None) -> Outcome:
        if call:
            before = idempotency.stored_outcome(session, call)
        done = _next_part(session, input, context.actor, before)
        if call and done is not before:
            idempotency.store_outcome(session, call, done)
        return done

    done = await context.transact(part, None)
    while _unanswered(done):
        done = await context.transact(part, done)
    return [done["answers"][one] if one else _refused(NotFound("tenant")) for one in done["wanted"]]


def _next_part(session: Session, input: CancelProvisioningsInput, actor: Actor, before: Outcome | None) -> Outcome:
    """The answers so far with those of the next part."""
    done = before or {"wanted": [one and str(one) for one in _requested(session, input, actor)], "answers": {}}
    part = [UUID(one) for one in _unanswered(done)[:TENANTS_PER_TRANSACTION]]
    if before and not part:
        return before
    answers = cancellation.cancel_provisionings(session, part, by=actor, reason=given(input.reason))
    return {**done, "answers": done["answers"] | {str(answer.tenant_id): _stored(answer) for answer in answers}}


def _unanswered(done: Outcome) -> list[str]:
    """Ids of tenants without an answer, sorted."""
    return sorted({one for one in done["wanted"] if one} - done["answers"].keys())


def _missing(answers: Sequence[Outcome]) -> NotFound | None:
    """The denial to record for ids of tenants that do not exist or belong to another organisation; None without one."""
    missing = sum(1 for one in answers if (one.get("refusal") or {}).get("code") == UserErrorCode.NOT_FOUND)
    return NotFound(f"tenant for {missing} of {len(answers)} ids") if missing else None


def _requested(session: Session, input: CancelProvisioningsInput, actor: Actor) -> Sequence[UUID | None]:
    """The tenants in the input, or those that match its filter; None for an id that is not of a tenant."""
    ids, conditions = given(input.tenant_ids), given(input.filter)
    if (ids is None) == (conditions is None):
        raise Malformed("tenant_ids", "Pass either tenantIds or filter.")
    if ids is not None:
        return [_tenant_of(one) for one in _check_count(ids)]
    assert conditions is not None, "one of the two is given"
    return _check_count(_provisioning(session, conditions.to_domain(), actor))


def _provisioning(session: Session, conditions: TenantFilter, actor: Actor) -> list[UUID]:
    states = conditions.states
    if states is not None and TenantState.PROVISIONING not in states:
        return []
    provisioning = TenantFilter(
        states=[TenantState.PROVISIONING],
        plans=conditions.plans,
        slug_prefix=conditions.slug_prefix,
        created_from=conditions.created_from,
        created_until=conditions.created_until,
    )
    return queries.tenant_ids(session, provisioning, MAX_TENANTS_PER_CALL + 1, by=actor)


def _check_count(ids: Sequence[Any]) -> Sequence[Any]:
    if len(ids) > MAX_TENANTS_PER_CALL:
        raise Malformed("tenant_ids", f"Too many tenants: one call can cancel for at most {MAX_TENANTS_PER_CALL}.")
    return ids


def _tenant_of(global_id: str) -> UUID | None:
    parts = parts_of(global_id)
    return parts[1] if parts and parts[0] == "Tenant" else None


def _stored(answer: BulkCancelResult) -> Outcome:
    if answer.refusal is not None:
        return _refused(answer.refusal, answer.tenant_id)
    return {
        "tenant_id": str(answer.tenant_id),
        "run_id": str(answer.run_id),
        "already_requested": answer.already_requested,
    }


def _refused(refusal: ProvisioningRefused, tenant_id: UUID | None = None) -> Outcome:
    """A refusal as JSON, stored so that a repeat of the call returns the same."""
    error = user_error_of(refusal)
    states = {"current": refusal.state, "allowed": list(refusal.allowed)} if isinstance(refusal, IllegalMove) else None
    visible = tenant_id is not None and not isinstance(refusal, NotFound)
    return {
        "tenant_id": str(tenant_id) if visible else None,
        "refusal": {"code": error.code, "message": error.message, "states": states},
    }


async def _read_together(context: Context, answers: Sequence[Outcome]) -> None:
    """Read the tenants and runs of all answers into the loaders: two statements, at the same time."""
    accepted = [one for one in answers if not one.get("refusal")]
    shown = answers if context.caller.may(Permission.READ_TENANTS) else accepted
    await asyncio.gather(
        context.loaders.tenants.load_many({UUID(one["tenant_id"]) for one in shown if one["tenant_id"]}),
        context.loaders.runs.load_many({UUID(one["run_id"]) for one in accepted}),
    )


async def _payload_of(context: Context, stored: Outcome) -> CancelProvisioningPayload:
    if refusal := stored.get("refusal"):
        tenant_id = stored["tenant_id"]
        tenant = await tenant_of_refusal(context, UUID(tenant_id)) if tenant_id else None
        return CancelProvisioningPayload(tenant=tenant, user_errors=[_user_error(refusal)])
    answer = await answer_of(context, Performed(stored))
    return CancelProvisioningPayload(tenant=answer.tenant, run=answer.run, already_requested=answer.already_requested)


def _user_error(stored: dict[str, Any]) -> UserError:
    code, message, path = UserErrorCode(stored["code"]), stored["message"], ["input", "tenantIds"]
    if stored["states"] is None:
        return GenericError(code=code, message=message, field=path)
    return InvalidStateError(
        code=code,
        message=message,
        field=path,
        current_state=TenantState(stored["states"]["current"]),
        allowed_states=[TenantState(state) for state in stored["states"]["allowed"]],
    )
