"""A carrier of hints that keeps them, for a test to read."""

from collections.abc import Sequence

from runtime.hints import Hint


class KeepingCarrier:
    """In the place of NOTIFY: what was sent stays in ``sent``."""

    def __init__(self) -> None:
        self.sent: list[Hint] = []

    def send(self, hints: Sequence[Hint]) -> bool:
        self.sent += hints
        return True

    def close(self) -> None:
        pass
