"""How deep a command lies below its resolver: every frame between the two is one more thing to read."""

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from provisioning import commands
from runtime.migrations import ROOT
from tests.api import Client, tenant_gid
from tests.code_metrics.suite import FRAMES
from tests.run_harness import RunHarness

MOST_FRAMES = 8


def test_at_most_eight_frames_lie_between_a_resolver_and_its_command(
    harness: RunHarness,
    owner: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    harness.create()
    tenant = tenant_gid(harness.tenant_id)

    def suspend_tenant(*_: object, **__: object) -> Any:
        raise RuntimeError("count the frames up to here")

    monkeypatch.setattr(commands, "suspend_tenant", suspend_tenant)
    with caplog.at_level(logging.ERROR):
        error = owner.error(
            f'mutation {{ suspendTenant(input: {{tenantId: "{tenant}", idempotencyKey: "once"}}) '
            "{ userErrors { code } } }"
        )

    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    frames = frames_of(caplog.records)
    between = frames[frames.index("resolvers/lifecycle.py:suspend_tenant") + 1 : -1]
    record_property(FRAMES, len(between))
    assert frames[-1].endswith(":suspend_tenant")
    assert 0 < len(between) <= MOST_FRAMES, "\n".join(between)


def frames_of(records: list[logging.LogRecord]) -> list[str]:
    """The frames of our own code in the traceback of the one failure that was logged, outermost first."""
    (failure,) = [record.exc_info[2] for record in records if record.exc_info]
    return [
        f"{frame.filename.removeprefix(f'{ROOT}/')}:{frame.name}"
        for frame in traceback.extract_tb(failure)
        if frame.filename.startswith(f"{ROOT}/") and "/.venv/" not in frame.filename
    ]
