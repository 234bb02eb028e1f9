"""The deployer of ``make up ARGS="--faults"``: which words of a slug make it misbehave, and how."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from adapters.simulated import SimulatedInfrastructure
from devserver import welcome_page
from devserver.__main__ import main
from devserver.faults import FAULTS, MisbehavingDeployer, faults_in
from devserver.options import Options
from devserver.product import environment
from provisioning.ports import Refused, TearDown, TryAgain, WorkloadOrder
from provisioning.resource_names import ResourceNames


class NeverStopped:
    """A stop token of a step that is not stopped."""

    def sleep(self, seconds: float) -> None:
        """Do not wait."""

    def checkpoint(self) -> None:
        """Do not stop."""


STOP = NeverStopped()


def order(slug: str) -> WorkloadOrder:
    names = ResourceNames(UUID(int=7), f"{slug}-acme", 1)
    return WorkloadOrder(names, slug, "acme", "eu-central", "pro", f"{slug}-acme.localhost")


@pytest.fixture
def deployer() -> MisbehavingDeployer:
    return MisbehavingDeployer(SimulatedInfrastructure().deployer)


@pytest.mark.parametrize("slug", ["shop", "failure", "unfail", "sticky", "hangar"])
def test_a_slug_without_a_fault_word_is_deployed_and_torn_down(deployer: MisbehavingDeployer, slug: str) -> None:
    wanted = order(slug)

    deployer.deploy(wanted, STOP)

    assert deployer.health(wanted.names, STOP).ready
    assert deployer.tear_down(wanted.names, STOP)
    assert deployer.present(wanted.names) == []


@pytest.mark.parametrize("slug", ["fail", "shop-fail", "fail-2", "a-fail-b"])
def test_fail_refuses_after_the_effect_so_that_the_undo_has_work_to_do(
    deployer: MisbehavingDeployer, slug: str
) -> None:
    wanted = order(slug)

    with pytest.raises(Refused, match=r"refused the workload, because the slug contains “fail”\."):
        deployer.deploy(wanted, STOP)

    assert deployer.present(wanted.names) == [wanted.names.workload]
    assert deployer.tear_down(wanted.names, STOP)


def test_flaky_loses_the_first_answer_also_when_another_worker_makes_the_second_attempt(
    deployer: MisbehavingDeployer,
) -> None:
    wanted = order("shop-flaky")

    with pytest.raises(TryAgain, match="did not answer in time"):
        deployer.deploy(wanted, STOP)
    MisbehavingDeployer(deployer.deployer).deploy(wanted, STOP)

    assert deployer.present(wanted.names) == [wanted.names.workload]


def test_stick_refuses_to_tear_down_and_hang_never_ends(deployer: MisbehavingDeployer) -> None:
    stuck, hanging = order("shop-stick"), order("shop-hang")
    for wanted in (stuck, hanging):
        deployer.deploy(wanted, STOP)

    with pytest.raises(Refused, match="tear the workload down, because the slug contains “stick”"):
        deployer.tear_down(stuck.names, STOP)
    answer = deployer.tear_down(hanging.names, STOP)

    assert answer == TearDown(gone=False, summary="The workload is terminating, because the slug contains “hang”.")
    assert deployer.present(hanging.names) == [hanging.names.workload]


def test_unready_is_never_ready(deployer: MisbehavingDeployer) -> None:
    wanted = order("shop-unready")
    deployer.deploy(wanted, STOP)

    assert not any(deployer.health(wanted.names, STOP).ready for _ in range(5))


def test_faults_can_be_combined() -> None:
    assert faults_in(order("shop-stick-fail").names) == ["fail", "stick"]


def variables(options: Options) -> dict[str, str]:
    return environment(options, database_url="postgresql://db", redis_url="redis://db", smtp_port=25)


def test_only_the_option_names_the_deployer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENANTRY_DEPLOYER", raising=False)

    assert "TENANTRY_DEPLOYER" not in variables(Options(data=tmp_path))
    assert variables(Options(data=tmp_path, faults=True))["TENANTRY_DEPLOYER"] == "devserver.faults:deployer"


def test_the_welcome_page_lists_every_fault(tmp_path: Path) -> None:
    text = welcome_page.text(Options(data=tmp_path, faults=True), "psql")

    assert all(f"{word:9} {effect}" in text for word, effect in FAULTS.items())
    assert "misbehave" not in welcome_page.text(Options(data=tmp_path), "psql")


def test_the_document_lists_every_fault() -> None:
    section = Path("docs/dashboard.md").read_text().partition("### Seeing it fail")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(FAULTS)


def test_faults_in_the_simulated_world_are_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--faults", "--world", "simulated"]) == 1

    assert "--faults needs the real world" in capsys.readouterr().err
