"""Error masking: gives each error a code, without the message of an error that the client did not cause."""

import logging
import re
from collections.abc import Iterator, Sequence

from graphql import GraphQLError, GraphQLSyntaxError
from psycopg import DataError
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext
from strawberry.types.execution import ExecutionResult, StreamExecutionResult

from access.permissions import Permission
from runtime.database import is_busy, is_transient
from runtime.masking import without_secrets
from schema.context import Context
from schema.errors import TooComplex

logger = logging.getLogger(__name__)

MAX_MESSAGE_LENGTH = 300
"""Characters of an error message, which may quote the client's input."""

CLIENT_ERRORS = (
    GraphQLError,
    StrawberryInputCoercionError,
    MissingQueryError,
    CannotGetOperationTypeError,
    InvalidOperationTypeError,
)
"""Errors that a client can cause with a value, a document or the choice of an operation."""

INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
UNSTORABLE_SQLSTATES = {None, "22P02", "22P05"}
"""SQLSTATEs for a text that the driver cannot send (None), or that JSONB does not accept."""

TOO_LONG_PREFIX = "Syntax Error: Document contains more than"
"""The beginning of the parser's message when a document has more tokens than the limit."""

HIDDEN_MISMATCH = "The document does not match the schema: a token with the right schema:read is told how."
HIDDEN_VALUE = "A variable does not match its type: a token with the right schema:read is told how."

UNKNOWN_FIELD = re.compile(r"(Cannot query field '\w+')( on type '(?:Query|Mutation|Subscription)')?.*", re.DOTALL)
INVALID_VARIABLE = re.compile(
    r"(Variable '\$\w+') got invalid value .*?(?:; ((?:Invalid|(?:Int|Float|String|Boolean|ID) cannot) .*))?", re.DOTALL
)
OWN_WORDS = re.compile(
    r"Variable '\$\w+' of (required|non-null) type '[^']*' (was not provided|must not be null)\."
    r"|Variable '\$\w+' is (not defined|never used)( by operation '\w+'| in operation '\w+')?\."
    r"|Unknown (fragment|directive) '@?\w+'\."
    r"|Fragment '\w+' is never used\."
    r"|Cannot spread fragment '\w+' within itself( via '\w+'(, '\w+')*)?\."
    r"|There can be only one (operation|fragment|argument|variable|input field) named '\$?\w+'\."
    r"|This anonymous operation must be the only defined operation\."
)
"""Messages of graphql-core that repeat only what the document says, and nothing of the schema."""

UNSTORABLE_TEXT = "A text contains a character that cannot be stored: NUL, or half of a surrogate pair."
TOO_MANY_DIGITS = "A number has too many digits."
"""Python refuses to parse it, because the time would grow with the square of the number of digits."""

INTERNAL_ERROR_MESSAGE = "The server failed to process the request; quote the request id when you report this."
MUTATION_IN_GET = "Mutations need POST."
DATABASE_UNREACHABLE = "The database cannot be reached; try again in a moment."
DATABASE_BUSY = "The database is too busy; try again in a moment."


class ErrorMasking(SchemaExtension):
    """Gives each error a code; logs errors of the server with the request's id, and masks their message."""

    _validated = False
    """Whether the document was parsed and validated, so that an error has another cause. Of one operation: Strawberry
    makes an extension for each."""

    def on_execute(self) -> Iterator[None]:
        """Note that the document is valid. The variables are not checked yet."""
        self._validated = True
        yield

    def on_operation(self) -> Iterator[None]:
        """Mask the errors of a query or mutation."""
        try:
            yield
        except CLIENT_ERRORS:
            raise
        except RecursionError:  # raised by validation of deeply nested values
            raise TooComplex("This document is nested too deeply.") from None
        except Exception as error:  # noqa: BLE001  # raised by an extension: there is no result that carries it
            raise _masked(
                GraphQLError(str(error), original_error=error),
                INTERNAL_SERVER_ERROR,
                _request_id(self.execution_context),
            ) from None
        result = self.execution_context.result
        if result is not None and result.errors:
            result.errors = self._public_errors(result.errors)

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        """Mask the errors of each result of a subscription."""
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = self._public_errors(result.errors)
        yield

    def _public_errors(self, errors: Sequence[GraphQLError]) -> list[GraphQLError]:
        request_id = _request_id(self.execution_context)
        public = [(error, public_error(error, request_id, validated=self._validated)) for error in errors]
        if _may_read_schema(self.execution_context):
            return [shown for _, shown in public]
        return [without_schema(shown) if _quotes_the_schema(error, shown) else shown for error, shown in public]


def public_error(error: GraphQLError, request_id: str, *, validated: bool) -> GraphQLError:
    """The error as the client gets it. ``validated``: the document was parsed and validated before the error."""
    if "code" in (error.extensions or {}):
        return error
    if not validated and isinstance(error.original_error, ValueError):
        return _with_code(error, "GRAPHQL_VALIDATION_FAILED", TOO_MANY_DIGITS)
    if isinstance(error.original_error, InvalidOperationTypeError):
        return _with_code(error, "BAD_REQUEST", MUTATION_IN_GET)
    code = code_of(error, validated=validated)
    if code in {INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE}:
        return _masked(error, code, request_id)
    return _with_code(error, code, UNSTORABLE_TEXT if _unstorable(error.original_error) else error.message)


def without_schema(error: GraphQLError) -> GraphQLError:
    """The same error without names of types, fields, arguments or values that the client did not write itself."""
    code = (error.extensions or {})["code"]
    if code not in {"GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"} or OWN_WORDS.fullmatch(error.message):
        return error
    if unknown := UNKNOWN_FIELD.fullmatch(error.message):
        return _with_code(error, code, f"{unknown[1]}{unknown[2] or ''}.")
    if invalid := INVALID_VARIABLE.fullmatch(error.message):
        return _with_code(error, code, f"{invalid[1]} got an invalid value; {invalid[2] or HIDDEN_VALUE}")
    return _with_code(error, code, HIDDEN_MISMATCH if code == "GRAPHQL_VALIDATION_FAILED" else HIDDEN_VALUE)


def code_of(error: GraphQLError, *, validated: bool) -> str:
    """The value of ``extensions.code`` for an error that has none."""
    cause = error.original_error
    if isinstance(error, GraphQLSyntaxError):
        return "DOCUMENT_TOO_COMPLEX" if error.message.startswith(TOO_LONG_PREFIX) else "GRAPHQL_PARSE_FAILED"
    if is_transient(cause):
        return SERVICE_UNAVAILABLE
    if _unstorable(cause) or isinstance(cause, CannotGetOperationTypeError):
        return "BAD_USER_INPUT"
    if error.path is not None or (cause is not None and not isinstance(cause, CLIENT_ERRORS)):
        return INTERNAL_SERVER_ERROR
    return "BAD_USER_INPUT" if validated else "GRAPHQL_VALIDATION_FAILED"


def _unstorable(cause: Exception | None) -> bool:
    """Whether Postgres cannot store a text of the client: the driver refused it, or JSONB did."""
    driver_error = getattr(cause, "orig", None) or cause
    if isinstance(driver_error, DataError):
        return driver_error.sqlstate in UNSTORABLE_SQLSTATES
    return isinstance(driver_error, UnicodeEncodeError)


def _masked(error: GraphQLError, code: str, request_id: str) -> GraphQLError:
    logger.error(
        "GraphQL field failed",
        extra={"request_id": request_id, "path": ".".join(map(str, error.path or ())), "code": code},
        exc_info=error.original_error or error,
    )
    message = INTERNAL_ERROR_MESSAGE
    if code == SERVICE_UNAVAILABLE:
        message = DATABASE_BUSY if is_busy(error.original_error) else DATABASE_UNREACHABLE
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions={"code": code, "requestId": request_id})


def _with_code(error: GraphQLError, code: str, message: str) -> GraphQLError:
    return GraphQLError(
        without_secrets(message)[:MAX_MESSAGE_LENGTH],
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**(error.extensions or {}), "code": code},
    )


def _quotes_the_schema(error: GraphQLError, shown: GraphQLError) -> bool:
    """Whether graphql-core chose the message that is shown, because a document or a variable does not fit."""
    is_ours = "code" in (error.extensions or {})
    return not is_ours and error.path is None and error.message.startswith(shown.message)


def _may_read_schema(context: ExecutionContext) -> bool:
    caller = context.context.caller if isinstance(context.context, Context) else None
    return caller is not None and Permission.READ_SCHEMA.value in caller.scopes


def _request_id(context: ExecutionContext) -> str:
    return context.context.request_id if isinstance(context.context, Context) else ""
