"""What ``make metrics`` counts, on checkouts of a few lines."""

import subprocess
from pathlib import Path

import pytest

from tests.code_metrics.english import DIALECT, Room, passages, per_10_000, words
from tests.code_metrics.old_names import old_names
from tests.code_metrics.schema_text import repeats_the_name, too_short
from tests.code_metrics.suite import Suite, frames_in, run_suite

CODE = '''"""Somebody claims a run.

Nobody else does."""

# Whose run it is
def whose_run(nobody: str) -> str:
    return f"{nobody} and tenant_id of step2"
'''
DOCUMENT = """# Title

Whoever reads `nobody` follows [this link](everybody.md).

```
somebody
```
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def write(checkout: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)


def test_python_counts_comments_docstrings_and_strings_without_names(checkout: Path) -> None:
    write(checkout, {"workers/one.py": CODE})

    text = passages(checkout)[Room.CODE]

    # Somebody claims a run · Nobody else does · Whose run it is · and, of
    assert words(text) == 4 + 3 + 4 + 2
    assert sorted(found for one in text for found in one.found(DIALECT)) == [
        ("workers/one.py:1", "Somebody"),
        ("workers/one.py:3", "Nobody"),
        ("workers/one.py:5", "Whose"),
    ]
    assert per_10_000(text, DIALECT) == pytest.approx(10_000 * 3 / 13)


def test_a_document_counts_its_prose_on_the_lines_where_it_stands(checkout: Path) -> None:
    write(checkout, {"docs/one.md": DOCUMENT})

    text = passages(checkout)[Room.DOCS]

    assert words(text) == 1 + 5
    assert [found for one in text for found in one.found(DIALECT)] == [("docs/one.md:3", "Whoever")]


def test_typescript_counts_comments_strings_and_texts_between_tags(checkout: Path) -> None:
    page = '// nobody\nconst nobody = "whose"\nexport const Page = () => <p>Sign in as {nobody}</p>\n'
    write(checkout, {"dashboard/app/page.tsx": page, "dashboard/app/page.test.tsx": page})

    found = passages(checkout)

    assert words(found[Room.PAGES]) == words(found[Room.PAGE_TESTS]) == 1 + 1 + 3


def test_an_old_name_is_found_as_a_file_an_import_an_identifier_and_a_word(checkout: Path) -> None:
    write(
        checkout,
        {
            "workers/courier.py": "",
            "workers/one.py": "from provisioning import (\n    rules,\n    steps,\n)\nheld: Pass = the_doorkeeper\n",
            "docs/one.md": "Pass it to `provisioning.rules`, which is in provisioning/rules.py.\n",
            "dashboard/app/tenants/page.tsx": 'import { wished } from "./wish"\n',
        },
    )

    assert [f"{one.path}:{one.line} {one.old}" for one in old_names(checkout)] == [
        "dashboard/app/tenants/page.tsx:1 dashboard.app.tenants.wish",
        "docs/one.md:1 provisioning.rules",
        "docs/one.md:1 provisioning/rules",
        "workers/courier.py:1 workers.courier",
        "workers/one.py:1 provisioning.rules",
        "workers/one.py:5 Pass",
        "workers/one.py:5 doorkeeper",
    ]


def test_the_package_that_took_a_modules_name_is_no_old_name(checkout: Path) -> None:
    write(
        checkout,
        {"server/limits/__init__.py": "", "workers/one.py": "from server.limits import query_cost\n"},
    )

    assert old_names(checkout) == []


def test_an_old_name_stays_where_its_reason_says_so(checkout: Path) -> None:
    write(checkout, {"alembic/versions/one.py": "nudged_at = 1\n", "models/one.py": "nudged_at = 1\n"})

    assert [one.path for one in old_names(checkout)] == ["models/one.py"]


def test_a_description_of_three_words_says_too_little() -> None:
    assert too_short("How it goes.")
    assert not too_short("Null until it ends.")


def test_a_description_that_only_has_the_words_of_its_name_repeats_it() -> None:
    assert repeats_the_name("Tenant.slug", "The tenant's slug.")
    assert repeats_the_name("RunStep", "One step of a run.")
    assert not repeats_the_name("Tenant.slug", "The slug in the tenant's address.")


REPORT = """<testsuites><testsuite><testcase name="one"><properties>
<property name="frames_of_a_mutation" value="7"/><property name="frames_of_a_mutation" value="12"/>
<property name="other" value="99"/></properties></testcase></testsuite></testsuites>"""


def test_the_report_of_the_tests_says_how_deep_a_mutation_goes(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert frames_in(report) == 12

    report.write_text("<testsuites/>")
    assert frames_in(report) is None


def test_the_tests_are_run_by_the_checkouts_own_command_and_their_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test:\n\t@echo ran with $(ARGS)\n")
    assert run_suite(tmp_path) == Suite(0.0, None)

    (tmp_path / "Makefile").write_text("test:\n\t@echo one failed; exit 1\n")
    with pytest.raises(RuntimeError, match="one failed"):
        run_suite(tmp_path)
