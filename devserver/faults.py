"""A deployer that misbehaves on demand, for ``make up ARGS="--faults"``: words in a tenant's slug choose how.

It is named in the settings like a custom deployer (``TENANTRY_DEPLOYER``), so nothing of it is in the product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters import registry
from provisioning.ports import Deployer, Health, Refused, StopToken, TearDown, TryAgain, WorkloadOrder
from provisioning.resource_names import ResourceNames
from runtime.database import Database
from runtime.settings import DeployerKind, settings

DEPLOYER = "devserver.faults:deployer"
"""The setting that names it."""

FAULTS = {
    "fail": "the deployer refuses the workload: the tenant is FAILED",
    "flaky": "the deployer's first answer is lost: a second attempt succeeds",
    "unready": "the workload never becomes ready",
    "stick": "the deployer refuses to tear the workload down: an undo is STUCK, until the step is skipped",
    "hang": "the deployer says for ever that it is tearing the workload down",
}
"""What a word of the slug does; words are separated by hyphens, and several can be combined."""


@dataclass
class MisbehavingDeployer:
    """Passes each call on to the built-in deployer, unless a word in the tenant's slug makes it fail."""

    deployer: Deployer

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Start the workload, then raise Refused for ``fail``, and TryAgain for the first attempt of ``flaky``.

        Both after the effect, as when a deployer cannot fulfil an order or its answer is lost: the undo has work to do.
        """
        faults = faults_in(order.names)
        is_first = not self.deployer.present(order.names)
        self.deployer.deploy(order, stop_token)
        if "flaky" in faults and is_first:
            raise TryAgain(_because("The deployer did not answer in time", "flaky"))
        if "fail" in faults:
            raise Refused(_because("The deployer refused the workload", "fail"))

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """The workload's health, or for ``unready`` always the same half."""
        if "unready" in faults_in(names):
            return Health(ready=False, percent=50, summary=_because("1 of 2 replicas is ready", "unready"))
        return self.deployer.health(names, stop_token)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool | TearDown:
        """Tear the workload down. Raises Refused for ``stick``; for ``hang`` it is never confirmed absent."""
        faults = faults_in(names)
        if "stick" in faults:
            raise Refused(_because("The deployer refused to tear the workload down", "stick"))
        if "hang" in faults:
            return TearDown(gone=False, summary=_because("The workload is terminating", "hang"))
        return self.deployer.tear_down(names, stop_token)

    def present(self, names: ResourceNames) -> list[str]:
        """Return the workload's name if the built-in deployer has it."""
        return self.deployer.present(names)


def deployer() -> MisbehavingDeployer:
    """The built-in deployer, made to misbehave. Called once in each worker process."""
    chosen = settings().model_copy(update={"deployer": DeployerKind.EDGE})
    database = Database(chosen, name="tenantry-faults")
    return MisbehavingDeployer(registry.infrastructure(chosen, database).deployer)


def faults_in(names: ResourceNames) -> Sequence[str]:
    """The faults that the words of an address ask for."""
    words = names.address.split("-")
    return [fault for fault in FAULTS if fault in words]


def _because(what: str, word: str) -> str:
    return f"{what}, because the slug contains “{word}”."
