"""Without what tells who asks, and for which run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
import pytest
from sqlmodel import Session

from provisioning import cancellation, duty
from provisioning.actors import Actor
from provisioning.lookup import Change
from resolvers import bulk, carrying_out
from tests.conformance.field.removals import removal


@removal
def no_regard_for_who_asks(patch: pytest.MonkeyPatch) -> None:
    """Whoever has a token may do anything to anybody."""
    patch.setattr(Actor, "reaches", lambda _, __: True)
    for resolvers in (bulk, carrying_out):
        patch.setattr(resolvers, "demand", lambda *_: None)


@removal
def no_look_at_signatures(patch: pytest.MonkeyPatch) -> None:
    """What a token says is believed."""

    def decode(token: str, *_: object, **__: object) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = genuine(token, options={"verify_signature": False})
        return claims

    genuine = jwt.decode
    patch.setattr(jwt, "decode", decode)


@removal
def no_regard_for_the_run_that_was_meant(patch: pytest.MonkeyPatch) -> None:
    """A cancel stops whatever is at work when it arrives."""

    def cancel_provisioning(session: Session, tenant_id: UUID, *, run_id: UUID | None = None, **wanted: Any) -> Change:
        return genuine(session, tenant_id, **wanted)

    genuine = cancellation.cancel_provisioning
    patch.setattr(cancellation, "cancel_provisioning", cancel_provisioning)


@removal
def no_deadlines(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks how long a run takes."""
    patch.setattr(duty, "overdue_runs", lambda _: [])
