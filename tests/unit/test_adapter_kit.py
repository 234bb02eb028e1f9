"""The kit detects every broken adapter, reports the checks that it skipped, and has a helpful command line."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.kit.ports import PORTS
from adapters.kit.runner import Results, run
from adapters.kit.subject import Subject
from adapters.simulated import SimulatedInfrastructure
from provisioning.step_context import TenantFacts
from provisioning.steps import saga
from tests import broken_adapters as broken
from tests.broken_adapters import deployer, mailer, subject
from tests.builders import fresh_names

ROOT = Path(__file__).resolve().parents[2]

Make = Callable[[], Subject]

BROKEN: list[tuple[str, str, Make]] = [
    ("storage", "nothing_is_present_before_it_is_created", lambda: subject(broken.ReportsNonexistentResources)),
    ("storage", "present_names_exactly_what_the_ledger_names", lambda: subject(broken.OmitsTheRole)),
    ("storage", "creating_twice_is_creating_once", lambda: subject(broken.CreatesOnlyOnce)),
    ("storage", "concurrent_creations_create_once", lambda: subject(broken.FailsWhenConcurrent)),
    ("storage", "another_worker_finds_and_destroys_a_resource", lambda: subject(broken.RemembersInsteadOfProbing)),
    (
        "storage",
        "another_worker_completes_a_half_finished_creation",
        lambda: subject(broken.TakesHalfForComplete, crashing=broken.Crashing),
    ),
    ("storage", "destroying_twice_is_destroying_once", lambda: subject(broken.DestroysOnlyWhatExists)),
    ("storage", "destroying_what_was_never_created_succeeds", lambda: subject(broken.DestroysOnlyWhatExists)),
    ("storage", "a_destroyed_name_is_not_created_again", lambda: subject(broken.ForgetsTombstones)),
    (
        "storage",
        "a_creation_after_its_destruction_is_refused",
        lambda: subject(broken.KeepsTombstonesOfExistingOnly),
    ),
    ("storage", "another_worker_refuses_a_destroyed_name", lambda: subject(broken.KeepsTombstonesInMemory)),
    (
        "storage",
        "concurrent_creations_and_destruction_leave_nothing",
        lambda: subject(broken.ChecksBeforeItCreates, rounds=10),
    ),
    ("storage", "destroying_leaves_nothing", lambda: subject(broken.LeavesTheSchema)),
    (
        "storage",
        "a_half_created_resource_is_destroyed",
        lambda: subject(broken.FailsOnHalf, crashing=broken.Crashing),
    ),
    (
        "storage",
        "an_unreachable_resource_does_not_count_as_destroyed",
        lambda: subject(broken.Storage, unreachable=broken.UnreachableAndDestroysNothing),
    ),
    (
        "storage",
        "an_unreachable_resource_is_not_reported_as_absent",
        lambda: subject(broken.Storage, unreachable=broken.UnreachableAndReportsAbsence),
    ),
    (
        "storage",
        "an_unreachable_infrastructure_is_not_a_refusal",
        lambda: subject(broken.Storage, unreachable=broken.UnreachableAndRefuses),
    ),
    ("storage", "the_next_run_of_a_tenant_can_create_its_resources", lambda: subject(broken.KeepsTombstonesByTenant)),
    ("storage", "a_late_undo_leaves_the_next_run_alone", lambda: subject(broken.DestroysTheNextRun)),
    ("storage", "a_recreated_tenant_is_another_tenant", lambda: subject(broken.KeepsTombstonesByAddress)),
    ("storage", "destroying_one_tenant_leaves_the_others", lambda: subject(broken.DestroysEverything)),
    ("storage", "migrating_twice_is_migrating_once", lambda: subject(broken.MigratesOnlyOnce)),
    ("storage", "migrated_storage_is_destroyed_with_its_tables", lambda: subject(broken.MigratesOutsideTheSchema)),
    ("storage", "destroyed_storage_is_not_migrated", lambda: subject(broken.MigratesTheDestroyed)),
    ("traffic", "a_name_that_another_tenant_holds_is_refused", lambda: subject(broken.ReservesForEveryTenant)),
    (
        "traffic",
        "releasing_a_name_that_another_holds_leaves_it_there",
        lambda: subject(broken.ReleasesAnyHolder),
    ),
    ("traffic", "one_of_many_concurrent_reservations_succeeds", lambda: subject(broken.ChecksBeforeItReserves)),
    ("deployer", "destroying_leaves_nothing", lambda: deployer(broken.NeverGone)),
    ("deployer", "health_can_be_shown", lambda: deployer(broken.ReportsTooMuch)),
    ("deployer", "a_missing_workload_is_not_ready", lambda: deployer(broken.AlwaysReady)),
    ("deployer", "a_stopped_step_makes_no_call", lambda: deployer(broken.IgnoresItsStopToken)),
    (
        "deployer",
        "a_stopped_step_does_not_wait_for_a_hanging_call",
        lambda: deployer(broken.Deployer, broken.HangsAndIgnoresItsStopToken),
    ),
    ("mailer", "an_invalid_address_is_refused", lambda: mailer(broken.SendsNothing)),
    ("mailer", "a_mail_is_sent_to_the_relay", lambda: mailer(broken.RefusesEverything)),
    (
        "mailer",
        "an_unreachable_relay_is_not_a_refusal",
        lambda: mailer(broken.OneAddress, broken.RefusesEverything),
    ),
    ("mailer", "an_unreachable_relay_is_not_a_refusal", lambda: mailer(broken.OneAddress, broken.SendsNothing)),
]
"""A port, a check, and an adapter that fails exactly this check."""

FEWER_PLUGINS = ["-p", "no:unraisableexception", "-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:anyio"]
"""Plugins that no check needs: at the end, the first collects the garbage of all tests, not only of the kit's."""

CORRECT: dict[str, Make] = {
    "storage": lambda: subject(broken.Storage, unreachable=broken.Unreachable, crashing=broken.Crashing),
    "traffic": lambda: subject(broken.Traffic),
    "deployer": lambda: deployer(broken.Deployer),
    "mailer": lambda: mailer(broken.OneAddress),
}


def without_parameters(names: set[str]) -> set[str]:
    return {name.partition("[")[0] for name in names}


def test_the_correct_adapters_fail_no_check() -> None:
    all_results = {port: run(port, make()) for port, make in CORRECT.items()}

    assert {port for port, results in all_results.items() if results.failed} == set()
    assert (all_results["storage"].exit_code, all_results["mailer"].exit_code) == (0, 0)


@pytest.mark.parametrize(("port", "check", "make"), BROKEN, ids=lambda it: it if isinstance(it, str) else "")
def test_the_kit_detects_a_broken_adapter(port: str, check: str, make: Make) -> None:
    results = run(port, make(), ["-q", *FEWER_PLUGINS, "-k", check])

    assert without_parameters(results.failed) == {check}
    assert results.exit_code == 1


def test_every_check_has_an_adapter_that_fails_it() -> None:
    all_results = [run(port, make(), ["-q"]) for port, make in CORRECT.items()]
    checks = {name for results in all_results for name in results.passed | results.skipped.keys()}

    assert {check for _, check, _ in BROKEN} == without_parameters(checks)


def test_a_skipped_check_is_reported_and_is_not_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    results = run("storage", subject(broken.Storage))

    assert results.exit_code == 3
    assert results.skipped == {
        "another_worker_completes_a_half_finished_creation": "needs --crashing",
        "a_half_created_resource_is_destroyed": "needs --crashing",
        "an_unreachable_resource_does_not_count_as_destroyed": "needs --unreachable",
        "an_unreachable_resource_is_not_reported_as_absent": "needs --unreachable",
        "an_unreachable_infrastructure_is_not_a_refusal": "needs --unreachable",
    }
    assert (
        "SKIPPED  an_unreachable_resource_does_not_count_as_destroyed: needs --unreachable" in capsys.readouterr().out
    )


def test_a_deselected_check_counts_as_skipped() -> None:
    results = run("mailer", mailer(broken.OneAddress), ["-k", "sent_to_the_relay"])

    assert results.passed == {"a_mail_is_sent_to_the_relay"}
    assert results.skipped.keys() >= {"an_unreachable_relay_is_not_a_refusal"}
    assert results.exit_code == 3


def test_a_failed_check_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    run("deployer", deployer(broken.AlwaysReady), ["-k", "not_ready"])

    output = capsys.readouterr().out
    assert "FAILED   a_missing_workload_is_not_ready: A tenant becomes ACTIVE without a workload." in output


@pytest.mark.parametrize("options", [["--collect-only"], ["-k", "nothing is called so"], ["--no-such-option"]], ids=str)
def test_a_run_without_checks_is_not_a_success(options: list[str]) -> None:
    assert run("mailer", mailer(broken.OneAddress), options).exit_code == 2


def test_unfinished_results_are_not_a_success() -> None:
    assert Results().exit_code == 2


def kit(*arguments: str, hidden: str = "") -> "subprocess.CompletedProcess[str]":
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden.split()!r})); from adapters.kit.__main__ import main; "
    )
    command = [sys.executable, "-c", f"{code}sys.exit(main())", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_explains_itself() -> None:
    command = kit("--help")

    assert (command.returncode, command.stderr) == (0, "")
    assert command.stdout.startswith("usage: python -m adapters.kit ")
    for text in ("--unreachable", "--crashing", "--hanging", "--mail-to", "exit codes:", "docs/adapters.md"):
        assert text in command.stdout


def test_the_command_runs_the_checks_on_the_given_adapter() -> None:
    command = kit(
        "mailer", "tests.broken_adapters:OneAddress", "--unreachable", "tests.broken_adapters:UnreachableRelay"
    )

    assert "SKIPPED  a_mail_is_sent_to_the_relay: needs --mail-to" in command.stdout
    assert "4 passed, 0 failed, 1 skipped" in command.stdout
    assert command.returncode == 3


def test_a_missing_factory_is_reported_in_one_sentence() -> None:
    command = kit("mailer", "tests.broken_adapters:Missing")

    assert (command.returncode, command.stderr) == (2, "tests.broken_adapters has nothing called Missing.\n")


def test_the_command_without_pytest_says_that_it_needs_it() -> None:
    command = kit("mailer", "tests.broken_adapters:OneAddress", hidden="pytest")

    assert (command.returncode, command.stdout) == (2, "")
    assert command.stderr == "The kit needs pytest, which is not installed: pip install pytest.\n"


def test_the_document_explains_every_check_and_no_other() -> None:
    table = (ROOT / "docs" / "adapters.md").read_text().partition("## What a failed check means")[2]
    explained = re.findall(r"^\| `(\w+)` \| \S", table, re.MULTILINE)

    assert sorted(explained) == sorted({check for _, check, _ in BROKEN})


def test_the_adapter_in_the_document_passes_the_kit(tmp_path: Path) -> None:
    code = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "adapters.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.py").write_text(code[0])
    (tmp_path / "workloads").mkdir()
    outside = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "WORKLOADS": str(tmp_path / "workloads")}

    command = subprocess.run(
        [sys.executable, "-m", "adapters.kit", "deployer", "mine:make"]
        + ["--unreachable", "mine:make_cut_off", "--crashing", "mine:make_crashing"],
        cwd=ROOT,
        env=os.environ | outside,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "26 passed, 0 failed, 3 skipped" in command.stdout
    assert command.returncode == 3


@pytest.mark.parametrize(
    ("port", "step"),
    [
        ("storage", "allocate_storage"),
        ("identity", "allocate_identity"),
        ("traffic", "allocate_traffic"),
        ("deployer", "deploy_workloads"),
    ],
)
def test_the_kit_expects_the_names_that_the_steps_write_into_the_ledger(port: str, step: str) -> None:
    names = fresh_names()
    tenant = TenantFacts("shop", "Shop", "acme", "eu", "pro", "ada@example.com", f"{names.address}.localhost", "", "")

    taken = [name for _, name in saga.takes(step, names, tenant)]

    assert PORTS[port].names(names, Subject(make=SimulatedInfrastructure)) == taken
