"""Mutants without authentication, authorization, run ids or deadlines."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
import pytest
from sqlmodel import Session

from provisioning import cancellation, due_runs
from provisioning.actors import Actor
from provisioning.locking import Change
from resolvers import mutations
from tests.conformance.field.mutants import mutant


@mutant
def no_authorization(patch: pytest.MonkeyPatch) -> None:
    """Every principal may run every operation on every tenant."""
    patch.setattr(Actor, "can_access", lambda _, __: True)
    patch.setattr(mutations, "require", lambda *_: None)


@mutant
def no_signature_check(patch: pytest.MonkeyPatch) -> None:
    """The claims of a token are accepted without a check of its signature."""

    def decode(token: str, *_: object, **__: object) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = original(token, options={"verify_signature": False})
        return claims

    original = jwt.decode
    patch.setattr(jwt, "decode", decode)


@mutant
def no_run_id_check(patch: pytest.MonkeyPatch) -> None:
    """A cancel ignores its ``run_id`` and cancels the run that is live when it arrives."""

    def cancel_provisioning(
        session: Session, tenant_id: UUID, *, run_id: UUID | None = None, **arguments: Any
    ) -> Change:
        return original(session, tenant_id, **arguments)

    original = cancellation.cancel_provisioning
    patch.setattr(cancellation, "cancel_provisioning", cancel_provisioning)


@mutant
def no_deadlines(patch: pytest.MonkeyPatch) -> None:
    """Runs past their deadline are not cancelled."""
    patch.setattr(due_runs, "overdue_runs", lambda _: [])
