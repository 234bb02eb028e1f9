"""The settings choose the adapters, and building them opens no connection."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters import infrastructure
from adapters.edge_deployer import EdgeDeployer
from adapters.guarded_calls import LimitedPort
from adapters.http_deployer import HttpDeployer
from adapters.simulated import SimulatedInfrastructure
from adapters.smtp import NoMail, SmtpMailer
from provisioning.ports import PORTS, Infrastructure
from runtime.database import Database
from runtime.migrations import ROOT
from runtime.settings import SettingsRefused
from tests.builders import settings_with
from tests.conftest import SECRET_KEY


def infrastructure_with(**more: object) -> Infrastructure:
    settings = settings_with("postgresql://app@127.0.0.1:1/nothing", **more)
    return infrastructure(settings, Database(settings))


def behind_the_limit(port: Any) -> object:
    assert isinstance(port, LimitedPort)
    return port.port


def test_the_built_in_runtime_without_mail_is_the_default() -> None:
    built = infrastructure_with()

    deployer, mailer = behind_the_limit(built.deployer), behind_the_limit(built.mailer)

    assert (type(deployer), type(mailer)) == (EdgeDeployer, NoMail)


def test_the_settings_can_choose_the_http_deployer() -> None:
    built = infrastructure_with(deployer="http", deployer_url="http://deployer")

    assert isinstance(behind_the_limit(built.deployer), HttpDeployer)


def test_the_settings_can_name_a_custom_adapter() -> None:
    built = infrastructure_with(deployer="tests.unit.test_registry:make_deployer")

    assert behind_the_limit(built.deployer) is MINE


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("nowhere.at_all:make", "nowhere.at_all cannot be imported: No module named 'nowhere'."),
        ("tests.builders:make", "tests.builders has nothing called make."),
        ("tests.conftest:SECRET_KEY", "tests.conftest:SECRET_KEY is not something that can be called."),
    ],
)
def test_a_missing_deployer_stops_the_start_with_one_sentence(reference: str, sentence: str) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        infrastructure_with(deployer=reference)

    assert str(refusal.value) == f"Invalid value for TENANTRY_DEPLOYER: {sentence}"


def test_a_worker_with_a_missing_deployer_ends_with_one_sentence() -> None:
    environment = {
        "TENANTRY_DATABASE_URL": "postgresql://app@127.0.0.1:1/nothing",
        "TENANTRY_REDIS_URL": "redis://127.0.0.1:1/0",
        "TENANTRY_SECRET_KEY": SECRET_KEY,
        "TENANTRY_DEPLOYER": "nowhere:make",
    }

    worker = subprocess.run(
        [sys.executable, "-m", "workers"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert worker.returncode == 2
    assert worker.stderr == (
        "Invalid value for TENANTRY_DEPLOYER: nowhere cannot be imported: No module named 'nowhere'.\n"
    )


def test_the_mailer_uses_the_relay_of_the_settings() -> None:
    assert isinstance(behind_the_limit(infrastructure_with(smtp_host="relay").mailer), SmtpMailer)


def test_each_adapter_has_its_own_call_limit() -> None:
    built: Any = infrastructure_with(adapter_calls=5)

    limits = [getattr(built, port).limit for port in PORTS]

    assert [limit.calls for limit in limits] == [5] * len(PORTS)
    assert len(set(map(id, limits))) == len(PORTS)


def test_simulated_infrastructure_can_be_chosen() -> None:
    assert infrastructure_with(world="simulated") == SimulatedInfrastructure()


MINE = object()


def make_deployer() -> object:
    return MINE


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def make():\n    raise RuntimeError('no region is set')", "raised RuntimeError: no region is set"),
        ("def make(region): ...", "raised TypeError: make() missing 1 required positional argument: 'region'"),
        ("raise KeyError('REGION')", "cannot be imported: KeyError: 'REGION'"),
        ("def make(:", "cannot be imported: SyntaxError: invalid syntax"),
    ],
)
def test_an_adapter_that_fails_at_the_start_is_named_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    module = f"adapter_{len(source)}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SettingsRefused) as refused:
        infrastructure_with(deployer=f"{module}:make")

    assert f"{reason}" in str(refused.value)
    assert "TENANTRY_DEPLOYER" in str(refused.value)
    assert "\n" not in str(refused.value)
