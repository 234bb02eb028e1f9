"""The check that a destroyed resource is confirmed absent."""

from provisioning.ports import TryAgain


class StillPresent(TryAgain):
    """A resource is still present after it was destroyed."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"Still present after it was destroyed: {', '.join(sorted(set(names)))}.")
        self.names = names


def confirm_absent(present: list[str]) -> None:
    """Raise StillPresent if any resource is present. ``present`` must be read after the destruction was committed."""
    if present:
        raise StillPresent(present)
