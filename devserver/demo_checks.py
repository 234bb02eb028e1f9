"""The checks of the demonstration, each with its result and figures."""

from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Check:
    """One sentence about the product, and whether it was true."""

    sentence: str
    passed: bool
    figures: str


@dataclass
class Checks:
    """All checks so far."""

    made: list[Check] = field(default_factory=list)

    def add(self, sentence: str, passed: bool, figures: object = "") -> None:  # noqa: FBT001  # the result of the check
        """Add a check."""
        self.made.append(Check(sentence, passed, str(figures)))

    @property
    def all_passed(self) -> bool:
        """Whether there are checks and all of them passed."""
        return bool(self.made) and all(check.passed for check in self.made)

    def table(self) -> Table:
        """A table of all checks."""
        table = Table("Check", "", "Figures", box=None, padding=(0, 2, 0, 0))
        for check in self.made:
            result = Text("passed", "green") if check.passed else Text("FAILED", "bold red")
            table.add_row(check.sentence, result, Text(check.figures, "dim"))
        return table
