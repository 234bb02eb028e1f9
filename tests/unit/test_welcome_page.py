"""The welcome page of ``make up``: what it advises fits how the product was started."""

from pathlib import Path

from devserver import welcome_page
from devserver.options import Options

ADVICE = "To cancel a run, start with --pace 3, create a tenant"


def test_the_welcome_page_advises_a_pace_only_when_the_product_runs_without_one(tmp_path: Path) -> None:
    fast = welcome_page.text(Options(data=tmp_path), "psql")
    slow = welcome_page.text(Options(data=tmp_path, pace=2), "psql")

    assert ADVICE in fast
    assert ADVICE not in slow
    assert "To cancel a run, create a tenant" in slow
