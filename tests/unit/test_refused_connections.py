"""A connection that Postgres refuses is recognised by its kind, whatever the language of the server and of libpq."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn
from sqlalchemy.exc import OperationalError

from provisioning.error_messages import describe
from provisioning.scarcity import is_scarcity
from runtime.connections import UnsupportedEncoding, connect
from runtime.database import is_transient, is_unavailable

REFUSALS = [
    ("FATAL", "53300", 'too many connections for role "tenants"'),
    ("FATAL", "53300", "tut mir leid, schon zu viele Verbindungen"),
    ("FATAL", "53300", "les emplacements de connexion restants sont réservés"),
    ("ВАЖНО", "53300", "извините, уже слишком много клиентов"),
    ("致命的エラー", "57P03", "データベースシステムは起動しています"),
    ("FATAL", "57P03", "das Datenbanksystem startet"),
    ("FATAL", "57P03", "the database system is not yet accepting connections"),
    ("FATAL", "08P01", "no more connections allowed (max_client_conn)"),
    ("FATAL", "28P01", 'password authentication failed for user "tenants"'),
    ("FATAL", "28P01", "Passwort-Authentifizierung für Benutzer »tenants« fehlgeschlagen"),
    ("SCHWERWIEGEND", "3D000", "Datenbank »tenants« existiert nicht"),
]
"""Severity, code and message of servers. libpq passes on the text, and not the code."""


def error_response(severity: str, code: str, message: str) -> bytes:
    fields = {"S": severity, "V": "FATAL", "C": code, "M": message}
    body = b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


class RefusingServer:
    """Answers each connection with ``reply`` to its first message, and closes it."""

    def __init__(self) -> None:
        self.reply = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://tenants:geheim@127.0.0.1:{self._listener.getsockname()[1]}/tenants"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(10_000)
                connection.sendall(self.reply)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RefusingServer]:
    refusing = RefusingServer()
    yield refusing
    refusing.close()


def refusal_of(url: str, **options: Any) -> psycopg.OperationalError:
    with pytest.raises(psycopg.OperationalError) as refusal:
        connect(url, "test", **({"sslmode": "disable", "gssencmode": "disable"} | options)).close()
    return refusal.value


def judged(error: psycopg.OperationalError) -> tuple[bool, bool, bool, bool]:
    """What the product says about the error in the tenants' database and, wrapped, in its own."""
    own = OperationalError("SELECT 1", None, error)
    return is_scarcity(error), is_scarcity(own), is_unavailable(own), is_transient(own)


WORKING = cast("PGconn", SimpleNamespace(status=ConnStatus.OK))

TEXTS = st.text(st.characters(categories=["L"]), min_size=1, max_size=40)


@given(refusal=st.one_of(st.sampled_from(REFUSALS), st.tuples(TEXTS, st.just("53300"), TEXTS)))
def test_a_refusal_in_any_language_is_waited_for(server: RefusingServer, refusal: tuple[str, str, str]) -> None:
    server.reply = error_response(*refusal)

    error = refusal_of(server.url)

    assert judged(error) == (True, True, True, True)
    assert describe(error) == f"PostgreSQL error: {refusal[2]}"


def refusal_at_closed_port() -> psycopg.OperationalError:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return refusal_of(f"postgresql://127.0.0.1:{port}/tenants")


UNREACHABLE: Mapping[str, Callable[[RefusingServer], psycopg.OperationalError]] = {
    "the server closes the connection": lambda server: refusal_of(server.url),
    "the server sends another protocol": lambda server: refusal_of(server.url, options="http"),
    "the server refuses TLS": lambda server: refusal_of(server.url, sslmode="require"),
    "no server listens": lambda _: refusal_at_closed_port(),
    "no socket": lambda _: refusal_of("postgresql:///tenants?host=/nowhere"),
    "no such host": lambda _: refusal_of("postgresql://nowhere.invalid/tenants"),
    "no answer in time": lambda _: psycopg.errors.ConnectionTimeout("connection timeout expired"),
}
REPLIES = {"the server sends another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server refuses TLS": b"N"}


@pytest.mark.parametrize("case", UNREACHABLE)
def test_a_server_that_cannot_be_reached_is_waited_for(server: RefusingServer, case: str) -> None:
    server.reply = REPLIES.get(case, b"")

    error = UNREACHABLE[case](server)

    assert error.sqlstate is None
    assert judged(error) == (True, True, True, True)
    assert "geheim" not in describe(error)
    assert "127.0.0.1" not in describe(error)


def test_an_error_on_a_connection_that_works_is_a_failure() -> None:
    error = psycopg.OperationalError("another command is already in progress", pgconn=WORKING)

    assert judged(error) == (False, False, False, False)


def test_a_database_of_another_encoding_is_never_waited_for_by_a_step() -> None:
    assert not is_scarcity(UnsupportedEncoding("tenants", "SQL_ASCII"))
