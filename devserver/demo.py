"""The demonstration: the whole product in a place of its own, its story told, every claim checked."""

import json
import os

from devserver import places
from devserver.client import Client
from devserver.development import Running, stoppable, up
from devserver.options import HOST, Options
from devserver.refusal import Refused
from devserver.story import Story
from devserver.view import View

PACE = 1.0
BUDGET = 1.0
"""Seconds that the step in flight may take to its safe point, and again that all the rest may take."""


def run(pace: float, budget: float) -> int:
    """Answer with 0 only if every claim held. Raises Refused when the product does not come up."""
    _forget_settings()
    with stoppable(), places.temporary() as folder:
        view = View()
        view.console.print("Bringing the product up in a place of its own…")
        with up(Options(data=folder, port=0, pace=pace)) as running:
            return _tell(running, view, budget)


def _forget_settings() -> None:
    """What the person exported may name somebody's database; the demonstration has servers of its own."""
    for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
        del os.environ[name]


def _tell(running: Running, view: View, budget: float) -> int:
    tokens = json.loads((running.options.data / "tokens.json").read_text())
    client = Client(HOST, running.options.port, tokens["acme"]["owner"])
    story = Story(client, view, os.environ["TENANTRY_DATABASE_URL"], running.options.data / "mails", budget)
    try:
        with view:
            story.tell()
    except Refused as refusal:
        story.claims.claim("The story could be told to its end", held=False, figures=refusal)
    view.console.print()
    view.console.print(story.claims.table())
    return 0 if story.claims.all_held else 1
