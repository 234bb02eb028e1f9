"""The error of the development server."""


class DevserverError(Exception):
    """The development server cannot start or continue. The message says why, and what to do."""
