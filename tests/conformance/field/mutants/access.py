"""Without what tells who asks, and for which run."""

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
def no_regard_for_who_asks(patch: pytest.MonkeyPatch) -> None:
    """Whoever has a token may do anything to anybody."""
    patch.setattr(Actor, "can_access", lambda _, __: True)
    patch.setattr(mutations, "require", lambda *_: None)


@mutant
def no_look_at_signatures(patch: pytest.MonkeyPatch) -> None:
    """What a token says is believed."""

    def decode(token: str, *_: object, **__: object) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = genuine(token, options={"verify_signature": False})
        return claims

    genuine = jwt.decode
    patch.setattr(jwt, "decode", decode)


@mutant
def no_regard_for_the_run_that_was_meant(patch: pytest.MonkeyPatch) -> None:
    """A cancel stops whatever is at work when it arrives."""

    def cancel_provisioning(session: Session, tenant_id: UUID, *, run_id: UUID | None = None, **wanted: Any) -> Change:
        return genuine(session, tenant_id, **wanted)

    genuine = cancellation.cancel_provisioning
    patch.setattr(cancellation, "cancel_provisioning", cancel_provisioning)


@mutant
def no_deadlines(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks how long a run takes."""
    patch.setattr(due_runs, "overdue_runs", lambda _: [])
