"""The formal model has the transitions of the engine, under their names."""

import re
from inspect import getmembers, isfunction, signature

from provisioning import transitions
from provisioning.transition import Transition
from runtime.migrations import ROOT
from tests.promises.differences import compared, demand_none, place
from tests.promises.documents import Row, document, quoted

README = document("formal/README.md")
MODEL = ROOT / "formal" / "transitions.pml"
PARTS_OF_TRANSITIONS = "/* Beginning a move */"
"""Above this line of the model each inline is a transition."""


def test_the_model_has_every_transition_except_those_that_its_readme_leaves_out() -> None:
    modelled = dict.fromkeys(inlines(MODEL.read_text().partition(PARTS_OF_TRANSITIONS)[0]), place(MODEL))
    left_out = quoted(README.section("What is left out").text)

    demand_none(compared(modelled, transition_names() - set(left_out), otherwise=place(MODEL)))


def test_functions_with_the_same_name_in_the_model_and_in_the_product_exist_in_both() -> None:
    model = set(inlines("".join(path.read_text() for path in ROOT.glob("formal/*.pml"))))
    rows = [row for row in README.section("What the model represents").rows() if "with these names" in row.cells[1]]

    assert rows
    demand_none(missing for row in rows for missing in missing_names(row, model))


def missing_names(row: Row, model: set[str]) -> list[str]:
    """The names in the first cell that are not in the model, or not in the module that the second cell names."""
    module = (ROOT / quoted(row.cells[1])[0]).read_text()
    functions = set(re.findall(r"^def (\w+)\(", module, re.MULTILINE))
    return [f"{row.place}: expected {name} in both" for name in quoted(row.cells[0]) if name not in model & functions]


def transition_names() -> set[str]:
    """The public functions that return a transition."""
    return {
        name
        for name, function in getmembers(transitions, isfunction)
        if not name.startswith("_")
        and function.__module__ == transitions.__name__
        and signature(function).return_annotation in (Transition, Transition | None)
    }


def inlines(text: str) -> list[str]:
    """The names that a part of the model defines."""
    return re.findall(r"^inline (\w+)\(", text, re.MULTILINE)
