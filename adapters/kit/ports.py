"""How each port creates, destroys and names its resources."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters.kit.stop_token import StopToken
from adapters.kit.subject import Subject
from provisioning.ports import WorkloadOrder
from provisioning.resource_names import ResourceNames

FIRST_ADMIN = "ada@example.com"

RULES = ("twice_is_once", "destroying_is_final", "gone_means_gone", "others_are_untouched")
"""The check files for every port with resources."""


@dataclass(frozen=True, slots=True)
class Port:
    """The operations of a port. ``destroy`` returns whether everything is confirmed absent."""

    create: Callable[[Any, ResourceNames, Subject], object]
    destroy: Callable[[Any, ResourceNames], bool]
    names: Callable[[ResourceNames, Subject], list[str]]
    checks: tuple[str, ...]


def order_for(names: ResourceNames, subject: Subject) -> WorkloadOrder:
    """The order for a deployer."""
    return WorkloadOrder(names, "kit", "kit", "eu-central", "pro", host_name(names, subject))


def host_name(names: ResourceNames, subject: Subject) -> str:
    """The tenant's host name."""
    return f"{names.address}.{subject.domain}"


def _destroy(adapter: Any, names: ResourceNames) -> bool:  # noqa: ANN401  # any adapter
    adapter.destroy(names)
    return True


def _release(adapter: Any, names: ResourceNames) -> bool:  # noqa: ANN401  # any adapter
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
"""A mailer has no resources, so only its own checks apply."""
