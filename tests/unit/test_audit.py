"""The comparison with published advisories: it names what it found, and never takes silence for safety."""

import json
import sys

import pytest

from devserver.audit import AUDITS, Audit, main, read_npm_audit, read_pip_audit
from runtime.migrations import ROOT

SOUND = {"name": "redis", "version": "8.1.0", "vulns": []}
UNSOUND = {"name": "h11", "version": "0.1", "vulns": [{"id": "GHSA-1", "fix_versions": ["0.2"]}]}
SKIPPED = {"name": "rich", "skip_reason": "Dependency not found on PyPI"}
NPM_FINDING = {
    "name": "vite",
    "range": "<5",
    "severity": "high",
    "via": [{"title": "Reads files outside of its folder"}, "esbuild"],
}


def audit_that_prints(output: object, read: object = read_pip_audit, error: str = "", code: int = 0) -> Audit:
    text = output if isinstance(output, str) else json.dumps(output)
    program = f"import sys; print({text!r}); print({error!r}, file=sys.stderr); sys.exit({code})"
    return Audit("some.lock", [sys.executable, "-c", program], read)  # type: ignore[arg-type]  # one of the two


def test_a_lock_without_advisories_passes(capsys: pytest.CaptureFixture[str]) -> None:
    audits = [
        audit_that_prints({"dependencies": [SOUND]}),
        audit_that_prints({"vulnerabilities": {}}, read_npm_audit),
    ]

    assert main(audits) == 0
    assert capsys.readouterr().out == "some.lock contains no package with a published advisory.\n" * 2


def test_an_advisory_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    python = audit_that_prints({"dependencies": [SOUND, UNSOUND]}, code=1)
    npm = audit_that_prints({"vulnerabilities": {"vite": NPM_FINDING}}, read_npm_audit, code=1)

    assert main([python, npm]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "some.lock contains packages with published advisories:",
        "  h11 0.1: GHSA-1, fixed in 0.2",
        "some.lock contains packages with published advisories:",
        "  vite <5: high, Reads files outside of its folder; because of esbuild",
    ]


@pytest.mark.parametrize("read", [read_pip_audit, read_npm_audit])
@pytest.mark.parametrize("output", ["", "Traceback", {"error": {}}, [], None])
def test_advisories_that_cannot_be_reached_are_one_sentence(
    capsys: pytest.CaptureFixture[str], read: object, output: object
) -> None:
    error = "Traceback:\n  a line\nFailed to resolve 'api.osv.dev'.\nnpm error A complete log of this run is there\n"

    assert main([audit_that_prints(output, read, error, code=1)]) == 0
    assert capsys.readouterr().out == (
        "some.lock could not be compared with published advisories: Failed to resolve 'api.osv.dev'.\n"
    )


def test_the_reason_that_npm_gives_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    main([audit_that_prints({"message": "405 Method Not Allowed"}, read_npm_audit, "npm error the endpoint", code=1)])

    assert capsys.readouterr().out == (
        "some.lock could not be compared with published advisories: 405 Method Not Allowed.\n"
    )


def test_packages_that_were_skipped_are_not_taken_for_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([audit_that_prints({"dependencies": [SOUND, SKIPPED, SKIPPED]})]) == 0
    assert capsys.readouterr().out == (
        "some.lock could not be compared with published advisories: no advisories were found for 2 of its 3 packages.\n"
    )


def test_every_lock_of_the_repository_is_compared() -> None:
    locks = {str(path.relative_to(ROOT)) for path in ROOT.glob("*.lock")}
    npm = {f"{folder}/package-lock.json" for folder in ("dashboard", "tests/clients")}

    assert sorted(audit.lock for audit in AUDITS) == sorted(locks | npm)
