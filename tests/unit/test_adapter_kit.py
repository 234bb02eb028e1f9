"""The kit notices every adapter that is broken, says what it did not try, and explains itself."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from adapters.kit.ports import PORTS
from adapters.kit.running import Verdict, run
from adapters.kit.subject import Subject
from adapters.simulated import SimulatedInfrastructure
from provisioning.step_context import Journal, StepContext, TenantFacts
from provisioning.steps import saga
from tests import broken_adapters as broken
from tests.broken_adapters import deployer, mailer, subject
from tests.builders import fresh_names

ROOT = Path(__file__).resolve().parents[2]

Make = Callable[[], Subject]

NOTICES: list[tuple[str, str, Make]] = [
    ("storage", "nothing_is_present_before_it_is_created", lambda: subject(broken.InventsThings)),
    ("storage", "present_names_exactly_what_the_ledger_names", lambda: subject(broken.ForgetsTheRole)),
    ("storage", "creating_twice_is_creating_once", lambda: subject(broken.CreatesOnlyOnce)),
    ("storage", "creating_many_at_once_is_creating_once", lambda: subject(broken.TripsOverCompany)),
    ("storage", "another_worker_finds_repeats_and_removes_it", lambda: subject(broken.RemembersInsteadOfAsking)),
    (
        "storage",
        "a_creation_that_died_half_way_is_completed_by_another",
        lambda: subject(broken.TakesHalfForAll, crashing=broken.Crashing),
    ),
    ("storage", "destroying_twice_is_destroying_once", lambda: subject(broken.DestroysOnlyWhatIsThere)),
    ("storage", "destroying_what_never_was_succeeds", lambda: subject(broken.DestroysOnlyWhatIsThere)),
    ("storage", "what_was_destroyed_is_not_created_again", lambda: subject(broken.ForgetsTombstones)),
    (
        "storage",
        "what_was_destroyed_before_it_came_is_refused_when_it_comes",
        lambda: subject(broken.BuriesOnlyWhatItMet),
    ),
    ("storage", "another_worker_is_refused_too", lambda: subject(broken.KeepsTombstonesToItself)),
    (
        "storage",
        "creating_and_destroying_at_once_ends_with_nothing",
        lambda: subject(broken.LooksBeforeItCreates, rounds=10),
    ),
    ("storage", "destroying_leaves_nothing", lambda: subject(broken.LeavesTheSchema)),
    (
        "storage",
        "what_a_crash_left_half_made_is_destroyed",
        lambda: subject(broken.TripsOverHalf, crashing=broken.Crashing),
    ),
    (
        "storage",
        "what_cannot_be_reached_is_not_gone",
        lambda: subject(broken.Storage, cut_off=broken.CutOffAndThinksItGone),
    ),
    (
        "storage",
        "what_cannot_be_reached_is_not_said_to_be_absent",
        lambda: subject(broken.Storage, cut_off=broken.CutOffAndSaysItIsAbsent),
    ),
    (
        "storage",
        "what_cannot_be_reached_is_not_refused_for_good",
        lambda: subject(broken.Storage, cut_off=broken.CutOffAndRefusesForGood),
    ),
    ("storage", "the_next_run_of_the_same_tenant_starts_afresh", lambda: subject(broken.BuriesTheTenant)),
    ("storage", "a_late_undo_leaves_the_next_run_alone", lambda: subject(broken.WipesTheTenant)),
    ("storage", "a_recreated_tenant_is_another_tenant", lambda: subject(broken.BuriesTheAddress)),
    ("storage", "destroying_one_tenant_leaves_the_others", lambda: subject(broken.WipesEverything)),
    ("storage", "migrating_twice_is_migrating_once", lambda: subject(broken.MigratesOnlyOnce)),
    ("storage", "what_was_migrated_is_destroyed_with_its_tables", lambda: subject(broken.MigratesOutsideTheSchema)),
    ("storage", "what_was_destroyed_is_not_migrated", lambda: subject(broken.MigratesTheDestroyed)),
    ("traffic", "a_name_that_another_tenant_holds_is_refused", lambda: subject(broken.LetsEverybodyHaveIt)),
    ("traffic", "releasing_a_name_that_another_holds_leaves_it_there", lambda: subject(broken.TakesItFromItsHolder)),
    ("traffic", "of_many_at_once_one_gets_the_name", lambda: subject(broken.LooksBeforeItReserves)),
    ("deployer", "destroying_leaves_nothing", lambda: deployer(broken.NeverGone)),
    ("deployer", "health_can_be_shown", lambda: deployer(broken.Exaggerates)),
    ("deployer", "what_is_not_there_is_not_ready", lambda: deployer(broken.AlwaysReady)),
    ("deployer", "a_step_that_was_told_to_stop_begins_nothing", lambda: deployer(broken.NeverAsks)),
    (
        "deployer",
        "a_step_that_is_told_to_stop_leaves_a_call_that_hangs",
        lambda: deployer(broken.Deployer, broken.HangsAndNeverAsks),
    ),
    ("mailer", "what_is_no_address_is_refused", lambda: mailer(broken.Sink)),
    ("mailer", "a_mail_is_handed_over", lambda: mailer(broken.Sulking)),
    ("mailer", "a_relay_that_is_away_may_come_back", lambda: mailer(broken.Picky, broken.Sulking)),
    ("mailer", "a_relay_that_is_away_may_come_back", lambda: mailer(broken.Picky, broken.Sink)),
]
"""Which port, which check, and an adapter that is broken in just that way."""

SOUND: dict[str, Make] = {
    "storage": lambda: subject(broken.Storage, cut_off=broken.CutOff, crashing=broken.Crashing),
    "traffic": lambda: subject(broken.Traffic),
    "deployer": lambda: deployer(broken.Deployer),
    "mailer": lambda: mailer(broken.Picky),
}


def without_parameters(names: set[str]) -> set[str]:
    return {name.partition("[")[0] for name in names}


def test_the_sound_relatives_of_the_broken_ones_break_nothing() -> None:
    verdicts = {port: run(port, make()) for port, make in SOUND.items()}

    assert {port for port, verdict in verdicts.items() if verdict.broken} == set()
    assert (verdicts["storage"].exit_code, verdicts["mailer"].exit_code) == (0, 0)


@pytest.mark.parametrize(("port", "check", "make"), NOTICES, ids=lambda it: it if isinstance(it, str) else "")
def test_the_kit_notices_what_is_broken(port: str, check: str, make: Make) -> None:
    verdict = run(port, make(), ["-q", "-k", check])

    assert without_parameters(verdict.broken) == {check}
    assert verdict.exit_code == 1


def test_every_check_is_known_to_notice_something() -> None:
    verdicts = [run(port, make(), ["-q"]) for port, make in SOUND.items()]
    checks = {name for verdict in verdicts for name in verdict.kept | verdict.untried.keys()}

    assert {check for _, check, _ in NOTICES} == without_parameters(checks)


def test_what_was_not_tried_is_said_and_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = run("storage", subject(broken.Storage))

    assert verdict.exit_code == 3
    assert verdict.untried == {
        "a_creation_that_died_half_way_is_completed_by_another": "needs --crashing",
        "what_a_crash_left_half_made_is_destroyed": "needs --crashing",
        "what_cannot_be_reached_is_not_gone": "needs --unreachable",
        "what_cannot_be_reached_is_not_said_to_be_absent": "needs --unreachable",
        "what_cannot_be_reached_is_not_refused_for_good": "needs --unreachable",
    }
    assert "NOT TRIED  what_cannot_be_reached_is_not_gone: needs --unreachable" in capsys.readouterr().out


def test_what_an_option_left_out_was_not_tried() -> None:
    verdict = run("mailer", mailer(broken.Picky), ["-k", "handed_over"])

    assert verdict.kept == {"a_mail_is_handed_over"}
    assert verdict.untried.keys() >= {"a_relay_that_is_away_may_come_back"}
    assert verdict.exit_code == 3


def test_a_broken_check_says_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    run("deployer", deployer(broken.AlwaysReady), ["-k", "not_ready"])

    said = capsys.readouterr().out
    assert "BROKEN     what_is_not_there_is_not_ready: A tenant goes live without a workload." in said


@pytest.mark.parametrize("options", [["--collect-only"], ["-k", "nothing is called so"], ["--no-such-option"]], ids=str)
def test_what_checked_nothing_is_no_success(options: list[str]) -> None:
    assert run("mailer", mailer(broken.Picky), options).exit_code == 2


def test_a_verdict_that_is_not_in_is_no_success() -> None:
    assert Verdict().exit_code == 2


def kit(*arguments: str, hidden: str = "") -> "subprocess.CompletedProcess[str]":
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden.split()!r})); from adapters.kit.__main__ import main; "
    )
    command = [sys.executable, "-c", f"{code}sys.exit(main())", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_explains_itself() -> None:
    asked = kit("--help")

    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith("usage: python -m adapters.kit ")
    for said in ("--unreachable", "--crashing", "--hanging", "--mail-to", "exit codes:", "docs/adapters.md"):
        assert said in asked.stdout


def test_the_command_runs_the_checks_on_what_it_is_given() -> None:
    asked = kit("mailer", "tests.broken_adapters:Picky", "--unreachable", "tests.broken_adapters:RelayAway")

    assert "NOT TRIED  a_mail_is_handed_over: needs --mail-to" in asked.stdout
    assert "4 kept, 0 broken, 1 not tried" in asked.stdout
    assert asked.returncode == 3


def test_a_factory_that_is_not_there_is_a_sentence() -> None:
    asked = kit("mailer", "tests.broken_adapters:Nobody")

    assert (asked.returncode, asked.stderr) == (2, "tests.broken_adapters has nothing called Nobody.\n")


def test_without_pytest_the_command_says_what_it_needs() -> None:
    asked = kit("mailer", "tests.broken_adapters:Picky", hidden="pytest")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr == "The kit runs by pytest, which is not installed here: pip install pytest.\n"


def test_the_document_explains_every_check_and_no_other() -> None:
    table = (ROOT / "docs" / "adapters.md").read_text().partition("## What a failed check means")[2]
    explained = re.findall(r"^\| `(\w+)` \| \S", table, re.MULTILINE)

    assert sorted(explained) == sorted({check for _, check, _ in NOTICES})


def test_the_adapter_in_the_document_passes_what_it_lets_the_kit_try(tmp_path: Path) -> None:
    code = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "adapters.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.py").write_text(code[0])
    (tmp_path / "workloads").mkdir()
    outside = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "WORKLOADS": str(tmp_path / "workloads")}

    asked = subprocess.run(
        [sys.executable, "-m", "adapters.kit", "deployer", "mine:make"]
        + ["--unreachable", "mine:make_cut_off", "--crashing", "mine:make_crashing"],
        cwd=ROOT,
        env=os.environ | outside,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "26 kept, 0 broken, 3 not tried" in asked.stdout
    assert asked.returncode == 3


class Recording:
    """A journal that keeps what a step intends."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def intend(self, _kind: str, name: str) -> None:
        self.names.append(name)


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
    names, journal = fresh_names(), Recording()
    tenant = TenantFacts("shop", "Shop", "acme", "eu", "pro", "ada@example.com", f"{names.address}.localhost", "", "")

    saga[step].action(StepContext(SimulatedInfrastructure(), names, tenant, 1, cast("Journal", journal)))

    assert PORTS[port].names(names, Subject(make=SimulatedInfrastructure)) == journal.names
