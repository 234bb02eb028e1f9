"""``python -m devserver.audit``: compares the locked packages with published advisories. Run it by ``make audit``."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.migrations import ROOT

PIP_AUDIT = (".audit/bin/pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")
NPM_AUDIT = ("npm", "audit", "--package-lock-only", "--json")
PYTHON_LOCKS = ("requirements.lock", "node.lock", "audit.lock", "bench.lock")
NPM_FOLDERS = ("dashboard", "tests/clients")

TIMEOUT = 600
"""Seconds for one lock."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known about a lock: advisories that concern it, and why it, or a part of it, could not be compared."""

    findings: list[str] = field(default_factory=list)
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """A lock, the command that compares it, and how to read the command's output."""

    lock: str
    command: Sequence[str]
    read: Callable[[Any], Report]
    folder: Path = ROOT

    def report(self) -> Report:
        """Run the command. An output that it cannot read means that the advisories could not be reached."""
        done = subprocess.run(
            self.command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
        try:
            output = json.loads(done.stdout)
        except ValueError:
            return Report(unknown=_reason(done))
        try:
            return self.read(output)
        except (KeyError, TypeError):
            return Report(unknown=_message_in(output) or _reason(done))


def read_pip_audit(output: Any) -> Report:  # noqa: ANN401  # JSON
    """Read the output of pip-audit. It skips packages that its source of advisories does not answer for."""
    packages = output["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    findings = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    if not skipped:
        return Report(findings)
    return Report(findings, f"no advisories were found for {len(skipped)} of its {len(packages)} packages")


def read_npm_audit(output: Any) -> Report:  # noqa: ANN401  # JSON
    """Read the output of npm audit. Raises KeyError for the report of an error."""
    return Report(
        [
            f"{package['name']} {package['range']}: {package['severity']}, {'; '.join(_titles(package))}"
            for package in output["vulnerabilities"].values()
        ]
    )


def main(audits: Sequence[Audit] | None = None) -> int:
    """Print a sentence for each lock. Returns 1 when an advisory concerns one, otherwise 0."""
    found = False
    for audit in AUDITS if audits is None else audits:
        report = audit.report()
        found = found or bool(report.findings)
        print(*_sentences(audit.lock, report), sep="\n")  # noqa: T201  # output of a command
    return int(found)


def _sentences(lock: str, report: Report) -> Iterator[str]:
    if report.unknown is not None:
        yield f"{lock} could not be compared with published advisories: {report.unknown}."
    if report.findings:
        yield f"{lock} contains packages with published advisories:"
        yield from (f"  {finding}" for finding in report.findings)
    elif report.unknown is None:
        yield f"{lock} contains no package with a published advisory."


def _titles(package: Any) -> list[str]:  # noqa: ANN401  # JSON
    """The advisories of a package, or the names of the packages through which it is concerned."""
    return [one["title"] if isinstance(one, dict) else f"because of {one}" for one in package["via"]]


def _message_in(output: Any) -> str | None:  # noqa: ANN401  # JSON
    """The message of an error that npm reports as JSON."""
    message = output.get("message") if isinstance(output, dict) else None
    return message if isinstance(message, str) else None


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of the error output that says something, without a final dot."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "complete log" not in line]
    return (lines[-1] if lines else f"the command ended with exit code {done.returncode}")[:300].removesuffix(".")


AUDITS = [
    *(Audit(lock, [*PIP_AUDIT, "--requirement", lock], read_pip_audit) for lock in PYTHON_LOCKS),
    *(Audit(f"{name}/package-lock.json", NPM_AUDIT, read_npm_audit, ROOT / name) for name in NPM_FOLDERS),
]

if __name__ == "__main__":
    sys.exit(main())
