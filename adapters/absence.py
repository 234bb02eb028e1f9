"""Gone means seen to be gone."""


class StillThere(Exception):
    """Something was destroyed and is found nevertheless. Trying again may help."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"Still there after it was destroyed: {', '.join(sorted(set(names)))}.")
        self.names = names


def confirm_absent(present: list[str]) -> None:
    """Raise StillThere unless nothing is left. Pass what was asked afresh, after the destruction committed."""
    if present:
        raise StillThere(present)
