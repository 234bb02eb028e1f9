"""Gone means seen to be gone."""

from provisioning.ports import TryAgain


class StillPresent(TryAgain):
    """Something was destroyed and is found nevertheless."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"Still there after it was destroyed: {', '.join(sorted(set(names)))}.")
        self.names = names


def confirm_absent(present: list[str]) -> None:
    """Raise StillPresent unless nothing is left. Pass what was asked afresh, after the destruction committed."""
    if present:
        raise StillPresent(present)
