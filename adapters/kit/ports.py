"""How each port creates, destroys and finds what it is for, and what the ledger calls that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters.kit.stop_token import StopToken
from adapters.kit.subject import Subject
from provisioning.ports import WorkloadOrder
from provisioning.resource_names import ResourceNames

FIRST_ADMIN = "ada@example.com"

RULES = ("twice_is_once", "destroying_is_final", "gone_means_gone", "others_are_untouched")
"""Files of checks that every port with resources has to pass."""


@dataclass(frozen=True, slots=True)
class Port:
    """``destroy`` says whether everything is confirmed absent by now."""

    create: Callable[[Any, ResourceNames, Subject], object]
    destroy: Callable[[Any, ResourceNames], bool]
    names: Callable[[ResourceNames, Subject], list[str]]
    checks: tuple[str, ...]


def order_for(names: ResourceNames, subject: Subject) -> WorkloadOrder:
    """What a deployer is asked to run."""
    return WorkloadOrder(names, "kit", "kit", "eu-central", "pro", host_name(names, subject))


def host_name(names: ResourceNames, subject: Subject) -> str:
    """The tenant's."""
    return f"{names.address}.{subject.domain}"


def _destroy(adapter: Any, names: ResourceNames) -> bool:  # noqa: ANN401  # anybody's adapter
    adapter.destroy(names)
    return True


def _release(adapter: Any, names: ResourceNames) -> bool:  # noqa: ANN401  # anybody's adapter
    adapter.release(names)
    return True


PORTS = {
    "storage": Port(
        lambda adapter, it, _: adapter.create(it),
        _destroy,
        lambda it, _: [it.role, it.schema],
        (*RULES, "storage"),
    ),
    "identity": Port(
        lambda adapter, it, _: adapter.create(it, FIRST_ADMIN),
        _destroy,
        lambda it, _: [it.signing_key, it.account],
        RULES,
    ),
    "traffic": Port(
        lambda adapter, it, _: adapter.reserve(it),
        _release,
        lambda it, subject: [host_name(it, subject)],
        (*RULES, "traffic"),
    ),
    "deployer": Port(
        lambda adapter, it, subject: adapter.deploy(order_for(it, subject), StopToken()),
        lambda adapter, it: bool(adapter.tear_down(it, StopToken())),
        lambda it, _: [it.workload],
        (*RULES, "deployer"),
    ),
    "mailer": Port(lambda *_: None, lambda *_: True, lambda *_: [], ("mailer",)),
}
"""A mailer holds nothing, so it has checks of its own only."""
