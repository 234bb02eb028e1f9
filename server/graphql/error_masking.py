"""What a client learns of an error: a code always, the cause only when it is the client's to mend."""

import logging
from collections.abc import Iterator, Sequence

from graphql import GraphQLError, GraphQLSyntaxError
from psycopg import DataError
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext
from strawberry.types.execution import ExecutionResult, PreExecutionError, StreamExecutionResult

from access.permissions import Permission
from runtime.database import is_busy, is_transient
from schema.context import Context
from schema.errors import TooComplex

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 300
"""Characters of an error, some of which may be the client's own input."""

CLIENTS = (
    GraphQLError,
    StrawberryInputCoercionError,
    MissingQueryError,
    CannotGetOperationTypeError,
    InvalidOperationTypeError,
)
"""What a client can cause: a value, a document, the choice of an operation."""

INTERNAL = "INTERNAL_SERVER_ERROR"
AWAY = "SERVICE_UNAVAILABLE"
UNREADABLE = {None, "22P02", "22P05"}
"""SQLSTATEs of a text that the driver does not send, or that JSONB does not take."""

TOO_LONG = "Syntax Error: Document contains more than"
"""How the parser begins when it gives up after so many tokens."""

SUGGESTION = " Did you mean "
"""How graphql-core begins to list what is there instead."""

UNSTORABLE = "A text holds a character that cannot be kept: NUL, or half of a surrogate pair."
TOO_MANY_DIGITS = "A number has more digits than can be read."
"""Python refuses to read them, because the time for it grows with the square of their number."""

SOMETHING_WRONG = "Something went wrong on our side; quote the request id."
DATABASE_IS_AWAY = "The database cannot be reached; try again in a moment."
DATABASE_IS_BUSY = "The database is too busy; try again in a moment."


class ErrorMasking(SchemaExtension):
    """Gives every error its code; replaces those that are our fault, and logs them with the request's id."""

    def on_operation(self) -> Iterator[None]:
        """Look at the result of a query or mutation."""
        try:
            yield
        except CLIENTS:
            raise
        except RecursionError:  # of a validation that follows values into each other
            raise TooComplex("This document goes too deep.") from None
        except Exception as error:  # noqa: BLE001  # of an extension: no result would carry it past us
            raise _masked(
                GraphQLError(str(error), original_error=error), INTERNAL, _request_id(self.execution_context)
            ) from None
        result = self.execution_context.result
        if result is not None and result.errors:
            result.errors = self._presentable(result.errors, prepared=not isinstance(result, PreExecutionError))

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        """Look at each result of a subscription."""
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = self._presentable(result.errors, prepared=not isinstance(result, PreExecutionError))
        yield

    def _presentable(self, errors: Sequence[GraphQLError], *, prepared: bool) -> list[GraphQLError]:
        request_id = _request_id(self.execution_context)
        shown = [presentable(error, request_id, prepared=prepared) for error in errors]
        return shown if _may_explore(self.execution_context) else [without_suggestions(error) for error in shown]


def presentable(error: GraphQLError, request_id: str, *, prepared: bool) -> GraphQLError:
    """The error as the client gets it. ``prepared`` tells that the document was parsed and validated."""
    if "code" in (error.extensions or {}):
        return error
    if not prepared and isinstance(error.original_error, ValueError):
        return _with_code(error, "GRAPHQL_VALIDATION_FAILED", TOO_MANY_DIGITS)
    code = code_of(error, prepared=prepared)
    if code in {INTERNAL, AWAY}:
        return _masked(error, code, request_id)
    return _with_code(error, code, UNSTORABLE if _unstorable(error.original_error) else error.message)


def without_suggestions(error: GraphQLError) -> GraphQLError:
    """The same, without names that the client did not know."""
    message, suggests, _ = error.message.partition(SUGGESTION)
    return _with_code(error, (error.extensions or {})["code"], message) if suggests else error


def code_of(error: GraphQLError, *, prepared: bool) -> str:
    """Why, for programs."""
    cause = error.original_error
    if isinstance(error, GraphQLSyntaxError):
        return "DOCUMENT_TOO_COMPLEX" if error.message.startswith(TOO_LONG) else "GRAPHQL_PARSE_FAILED"
    if is_transient(cause):
        return AWAY
    if _unstorable(cause) or isinstance(cause, CannotGetOperationTypeError):
        return "BAD_USER_INPUT"
    if error.path is not None or (cause is not None and not isinstance(cause, CLIENTS)):
        return INTERNAL
    return "BAD_USER_INPUT" if prepared else "GRAPHQL_VALIDATION_FAILED"


def _unstorable(cause: Exception | None) -> bool:
    """Whether a text was given that Postgres has no way to hold: the driver finds out, or JSONB does."""
    genuine = getattr(cause, "orig", None) or cause
    if isinstance(genuine, DataError):
        return genuine.sqlstate in UNREADABLE
    return isinstance(genuine, UnicodeEncodeError)


def _masked(error: GraphQLError, code: str, request_id: str) -> GraphQLError:
    logger.error(
        "a field failed",
        extra={"request_id": request_id, "path": ".".join(map(str, error.path or ())), "code": code},
        exc_info=error.original_error or error,
    )
    message = SOMETHING_WRONG
    if code == AWAY:
        message = DATABASE_IS_BUSY if is_busy(error.original_error) else DATABASE_IS_AWAY
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions={"code": code, "requestId": request_id})


def _with_code(error: GraphQLError, code: str, message: str) -> GraphQLError:
    return GraphQLError(
        message[:LONGEST_MESSAGE],
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**(error.extensions or {}), "code": code},
    )


def _may_explore(context: ExecutionContext) -> bool:
    caller = context.context.caller if isinstance(context.context, Context) else None
    return caller is not None and Permission.READ_SCHEMA.value in caller.scopes


def _request_id(context: ExecutionContext) -> str:
    return context.context.request_id if isinstance(context.context, Context) else ""
