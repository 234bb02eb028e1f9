"""A deployer tells how far it is, and never outstays a cancel."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from adapters.guarded_calls import start_call
from adapters.kit.case import Case
from adapters.kit.ports import order_for
from adapters.kit.stop_token import StopToken
from provisioning.ports import Health, Refused
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped

LONGEST_STOP = 1.0
"""Seconds until a step that was told to stop has stopped."""

Call = Callable[[Any, Case, ResourceNames, StopToken], object]

CALLS: dict[str, Call] = {
    "deploy": lambda adapter, case, it, stop_token: adapter.deploy(order_for(it, case.subject), stop_token),
    "health": lambda adapter, _, it, stop_token: adapter.health(it, stop_token),
    "tear_down": lambda adapter, _, it, stop_token: adapter.tear_down(it, stop_token),
}


def test_health_can_be_shown(case: Case) -> None:
    """The timeline shows percent and summary as they come: 0 to 100, and some words."""
    names = case.fresh()
    case.create(names)

    health = case.adapter.health(names, StopToken())

    assert isinstance(health, Health)
    assert 0 <= health.percent <= 100
    assert health.summary.strip()


def test_what_is_not_there_is_not_ready(case: Case) -> None:
    """A tenant goes live without a workload."""
    never, gone = case.fresh(), case.fresh()
    case.create(gone)
    case.destroy(gone)

    assert not _ready(case, never)
    assert not _ready(case, gone)


@pytest.mark.parametrize("call", CALLS)
def test_a_step_that_was_told_to_stop_begins_nothing(case: Case, call: str) -> None:
    """It does not ask patience.checkpoint() before it acts, or swallows what that raises."""
    names = case.fresh()

    with pytest.raises(StepStopped):
        CALLS[call](case.adapter, case, names, StopToken().told_to_stop())

    assert case.present(names) == []


@pytest.mark.parametrize("call", CALLS)
def test_a_step_that_is_told_to_stop_leaves_a_call_that_hangs(case: Case, call: str) -> None:
    """It waits without asking its patience, so a cancel waits for the outside. Wait by patience.sleep()."""
    names, stop_token = case.fresh(), StopToken()
    hanging = case.hanging()

    calling = start_call(lambda: CALLS[call](hanging.adapter, case, names, stop_token))
    assert stop_token.asked.wait(case.subject.within), "It never came to a safe point."
    told = time.monotonic()
    stop_token.told_to_stop()
    with pytest.raises(StepStopped):
        calling.result(case.subject.within)

    assert time.monotonic() - told < LONGEST_STOP


def _ready(case: Case, names: ResourceNames) -> bool:
    try:
        return bool(case.adapter.health(names, StopToken()).ready)
    except Refused:
        return False
