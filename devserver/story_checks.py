"""The claims that a demonstration makes, each held or failed, with its figures."""

from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Claim:
    """One sentence that is true or is not."""

    sentence: str
    held: bool
    figures: str


@dataclass
class Claims:
    """Everything that was claimed so far."""

    made: list[Claim] = field(default_factory=list)

    def claim(self, sentence: str, held: bool, figures: object = "") -> None:  # noqa: FBT001  # the claim's whole point
        """Put a claim on record."""
        self.made.append(Claim(sentence, held, str(figures)))

    @property
    def all_held(self) -> bool:
        """Whether something was claimed and all of it was true."""
        return bool(self.made) and all(claim.held for claim in self.made)

    def table(self) -> Table:
        """Everything at a glance."""
        table = Table("Claim", "", "Figures", box=None, padding=(0, 2, 0, 0))
        for claim in self.made:
            verdict = Text("held", "green") if claim.held else Text("FAILED", "bold red")
            table.add_row(claim.sentence, verdict, Text(claim.figures, "dim"))
        return table
