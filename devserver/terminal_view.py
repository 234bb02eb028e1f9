"""The output of the demonstration: a live picture on a terminal, plain lines otherwise."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from devserver.client import Facts

MARKS = {
    "WAITING": ("·", "dim"),
    "DONE": ("✔", "green"),
    "FAILED": ("✘", "red"),
    "INTERRUPTED": ("■", "yellow"),
    "COMPENSATED": ("↩", "cyan"),
    "COMPENSATION_FAILED": ("✘", "red"),
    "ABANDONED": ("!", "red"),
}
PLAIN_WIDTH = 130
POLL_SECONDS = 0.2
STATE_STYLES = {"ACTIVE": "bold green", "PENDING": "bold cyan", "FAILED": "bold red"}


class TerminalView:
    """Prints chapters, lines and live pictures of the tenant."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
        self._live = Live(console=self.console, refresh_per_second=12, auto_refresh=self.console.is_terminal)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def chapter(self, title: str) -> None:
        """Print a heading."""
        self.console.print(f"\n[bold]{title}[/bold]")

    def line(self, text: str) -> None:
        """Print a line."""
        self.console.print(Text(f"  {text}"))

    @contextmanager
    def live_picture(self, tenant: Callable[[], Facts]) -> Iterator[None]:
        """Show the tenant, its newest run and its held resources until the end of the block, on a terminal only."""
        if not self.console.is_terminal:
            yield
            return
        finished = threading.Event()
        painter = threading.Thread(target=self._paint, args=[tenant, finished], daemon=True)
        painter.start()
        try:
            yield
        finally:
            finished.set()
            painter.join()

    def _paint(self, tenant: Callable[[], Facts], finished: threading.Event) -> None:
        while not finished.wait(POLL_SECONDS):
            self._live.update(_picture(tenant()))
        self._live.update(_picture(tenant()))


def _picture(tenant: Facts) -> RenderableType:
    run = newest_run(tenant)
    state = Text(tenant["state"], STATE_STYLES.get(tenant["state"], "bold yellow"))
    title = Text.assemble("  ", tenant["slug"], "  ", state, f"   run {run['number']}: {run['status']}")
    return Group(
        Text(),
        title,
        Columns([Panel(_timeline(run), title="Provisioning timeline"), Panel(_ledger(tenant), title="Held resources")]),
    )


def newest_run(tenant: Facts) -> Facts:
    """The newest run of the tenant."""
    run: Facts = tenant["runs"]["edges"][0]["node"]
    return run


def _timeline(run: Facts) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for step in run["steps"]:
        table.add_row(_mark(step["status"]), step["title"], Text(_remark(step), "dim"))
    return table


def _mark(status: str) -> RenderableType:
    if status in MARKS:
        sign, style = MARKS[status]
        return Text(sign, style)
    return Spinner("dots", style="cyan" if status == "COMPENSATING" else "green")


def _remark(step: Facts) -> str:
    if step["status"] == "RUNNING":
        return f"{step['percent']} %" if step["percent"] is not None else ""
    return "" if step["status"] in {"WAITING", "DONE"} else str(step["status"]).lower().replace("_", " ")


def _ledger(tenant: Facts) -> RenderableType:
    if not tenant["heldResources"] and not tenant["abandonedResources"]:
        return Text("nothing", "dim")
    table = Table.grid(padding=(0, 1))
    for resource in tenant["heldResources"]:
        table.add_row(Text(resource["kind"], "bold"), resource["name"], Text(resource["status"].lower(), "dim"))
    for resource in tenant["abandonedResources"]:
        table.add_row(Text(resource["kind"], "bold"), resource["name"], Text("abandoned", "red"))
    return table
