"""What keeps the development server from starting or going on."""


class Refused(Exception):
    """The message is one sentence for the person at the terminal, with the way out."""
