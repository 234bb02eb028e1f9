"""The error of the development server."""

from runtime.programs import FAILED, OperatorError


class DevserverError(OperatorError):
    """The development server cannot start or continue. The message says why, and what to do."""

    exit_code = FAILED
