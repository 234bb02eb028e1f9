"""A deployer reports its progress without delaying a cancel."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from adapters.guarded_calls import start_call
from adapters.kit.check_context import CheckContext
from adapters.kit.ports import order_for
from adapters.kit.stop_token import StopToken
from provisioning.ports import Health, Refused
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped

LONGEST_STOP = 1.0
"""Seconds until a stopped step must have ended."""

Call = Callable[[Any, CheckContext, ResourceNames, StopToken], object]

CALLS: dict[str, Call] = {
    "deploy": lambda adapter, context, it, stop_token: adapter.deploy(order_for(it, context.subject), stop_token),
    "health": lambda adapter, _, it, stop_token: adapter.health(it, stop_token),
    "tear_down": lambda adapter, _, it, stop_token: adapter.tear_down(it, stop_token),
}


def test_health_can_be_shown(context: CheckContext) -> None:
    """The percentage is not between 0 and 100, or there is no summary: the timeline shows both unchanged."""
    names = context.new_names()
    context.create(names)

    health = context.adapter.health(names, StopToken())

    assert isinstance(health, Health)
    assert 0 <= health.percent <= 100
    assert health.summary.strip()


def test_a_missing_workload_is_not_ready(context: CheckContext) -> None:
    """A tenant becomes ACTIVE without a workload."""
    never_created, destroyed = context.new_names(), context.new_names()
    context.create(destroyed)
    context.destroy(destroyed)

    assert not _ready(context, never_created)
    assert not _ready(context, destroyed)


@pytest.mark.parametrize("call", CALLS)
def test_a_stopped_step_makes_no_call(context: CheckContext, call: str) -> None:
    """The adapter does not call stop_token.checkpoint() first, or catches its exception."""
    names = context.new_names()

    with pytest.raises(StepStopped):
        CALLS[call](context.adapter, context, names, StopToken().stop())

    assert context.present(names) == []


@pytest.mark.parametrize("call", CALLS)
def test_a_stopped_step_does_not_wait_for_a_hanging_call(context: CheckContext, call: str) -> None:
    """The adapter waits without its stop token, so a cancel waits for the infrastructure: use stop_token.sleep()."""
    names, stop_token = context.new_names(), StopToken()
    hanging = context.hanging()

    calling = start_call(lambda: CALLS[call](hanging.adapter, context, names, stop_token))
    assert stop_token.reached_safe_point.wait(context.subject.within), "The adapter never reached a safe point."
    stopped_at = time.monotonic()
    stop_token.stop()
    with pytest.raises(StepStopped):
        calling.result(context.subject.within)

    assert time.monotonic() - stopped_at < LONGEST_STOP


def _ready(context: CheckContext, names: ResourceNames) -> bool:
    try:
        return bool(context.adapter.health(names, StopToken()).ready)
    except Refused:
        return False
