"""How each port creates, destroys and finds what it is for, and what the ledger calls that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters.kit.patience import Patience
from adapters.kit.subject import Subject
from provisioning.footprint import Footprint
from provisioning.ports import WorkloadOrder

FIRST_ADMIN = "ada@example.com"

RULES = ("twice_is_once", "destroying_is_final", "gone_means_gone", "others_are_untouched")
"""Files of checks that every port with resources has to pass."""


@dataclass(frozen=True, slots=True)
class Port:
    """``destroy`` says whether everything is confirmed absent by now."""

    create: Callable[[Any, Footprint, Subject], object]
    destroy: Callable[[Any, Footprint], bool]
    names: Callable[[Footprint, Subject], list[str]]
    checks: tuple[str, ...]


def order_for(footprint: Footprint, subject: Subject) -> WorkloadOrder:
    """What a deployer is asked to run."""
    return WorkloadOrder(footprint, "kit", "kit", "eu-central", "pro", host_name(footprint, subject))


def host_name(footprint: Footprint, subject: Subject) -> str:
    """The tenant's."""
    return f"{footprint.address}.{subject.domain}"


def _destroy(adapter: Any, footprint: Footprint) -> bool:  # noqa: ANN401  # anybody's adapter
    adapter.destroy(footprint)
    return True


def _release(adapter: Any, footprint: Footprint) -> bool:  # noqa: ANN401  # anybody's adapter
    adapter.release(footprint)
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
        lambda adapter, it, subject: adapter.deploy(order_for(it, subject), Patience()),
        lambda adapter, it: bool(adapter.tear_down(it, Patience())),
        lambda it, _: [it.workload],
        (*RULES, "deployer"),
    ),
    "mailer": Port(lambda *_: None, lambda *_: True, lambda *_: [], ("mailer",)),
}
"""A mailer holds nothing, so it has checks of its own only."""
