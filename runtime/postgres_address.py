"""The judge of addresses of Postgres: libpq reads them, and judges most values only when it connects."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runtime.addresses import A_HOST, is_host, is_ip_address, is_port

NOWHERE = "/dev/null"
"""The folder of a socket that cannot exist: libpq judges its parameters, and then does not connect."""

NUMBERS = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
SWITCHES = frozenset({"sslcompression", "sslsni", "gssdelegation"})
"""Of these libpq takes every other value for 0."""

FILES = frozenset({"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"})
FROM_THE_SYSTEM = {"sslrootcert": "system"}
LONGEST_NUMBER = 2**31 - 1
NUMBER = re.compile(r"\d{1,10}", re.ASCII)
PARAMETER = re.compile(r"[A-Za-z_]{1,40}")

FOR_READERS = frozenset({"read-only", "standby", "prefer-standby"})


def postgres_address(url: str) -> str:
    """Return the address, or raise ValueError with a reason that does not repeat it: it may contain a password."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    parts = _parts(url)
    for reason in _faults(parts):
        raise ValueError(reason)
    return url


def _parts(url: str) -> Mapping[str, str]:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except ProgrammingError:
        # The message of libpq quotes the address.
        unknown = _unknown_parameter(url)
        if unknown:
            reason = f"has the parameter {unknown}, which libpq does not know: correct or remove it"
        else:
            reason = "must be an address that libpq reads, for example postgresql://app@db/tenantry"
        raise ValueError(reason) from None


def _unknown_parameter(url: str) -> str | None:
    """The first unknown parameter, unless it may be a part of a password with unescaped characters."""
    try:
        query = urlsplit(url).query
    except ValueError:  # brackets that do not close
        return None
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = [] if "@" in query else [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    return next((name for name in given if PARAMETER.fullmatch(name) and name not in known), None)


def _faults(parts: Mapping[str, str]) -> Iterator[str]:
    yield from _faults_of_the_place(parts)
    for name, value in parts.items():
        yield from _faults_of_a_parameter(name, value)
    if not _libpq_accepts(parts):
        yield _what_libpq_refuses(parts)


def _faults_of_the_place(parts: Mapping[str, str]) -> Iterator[str]:
    if not parts.keys() & {"host", "hostaddr", "dbname", "service"}:
        # libpq would choose a server and a database by itself, by the name of the user who starts the process.
        yield "must name the server and the database, for example postgresql://app@db/tenantry"
    if not all(is_port(port) for port in parts.get("port", "").split(",") if port):
        yield "must have a port from 1 to 65535, or none"
    names, addresses = _listed(parts, "host"), _listed(parts, "hostaddr")
    if names and addresses and len(names) != len(addresses):
        yield "must have as many addresses in hostaddr as it has hosts"
    if not all(addresses or names):
        # libpq would connect to a socket of this machine.
        yield "names no host where it could: write one, or remove the empty parameter and commas that are left over"
    if not all(map(is_ip_address, addresses)):
        yield "must have IP addresses in hostaddr; names belong into host"
    if not all(name.startswith(("/", "@")) or is_host(name) for name in names if name):
        yield f"must have, as a host, the folder of a socket or {A_HOST}"


def _listed(parts: Mapping[str, str], name: str) -> list[str]:
    return parts[name].split(",") if name in parts else []


def _faults_of_a_parameter(name: str, value: str) -> Iterator[str]:
    if name in NUMBERS and not (NUMBER.fullmatch(value) and int(value) <= LONGEST_NUMBER):
        yield f"must have a whole number in {name}: correct or remove it"
    if name in SWITCHES and value not in {"0", "1"}:
        yield f"must have 0 or 1 in {name}: correct or remove it"
    if name in FILES and value not in {"", FROM_THE_SYSTEM.get(name)} and not os.access(value, os.R_OK):
        yield f"names a file in {name} that this process cannot read: correct or remove it"
    if name == "sslcrldir" and value and not Path(value).is_dir():
        yield "names no folder in sslcrldir: correct or remove it"
    if name == "options" and value and not value.lstrip().startswith("-"):
        yield "must have options of the server in options, for example options=-c%20geqo%3Doff: correct or remove it"
    if name == "replication":
        yield "must not have the parameter replication: a connection for replication runs no transactions"
    if name == "target_session_attrs" and value in FOR_READERS:
        yield "must lead to a server that accepts writes: set target_session_attrs to read-write, or remove it"


def _what_libpq_refuses(parts: Mapping[str, str]) -> str:
    if not _libpq_accepts({}):
        return "cannot be used with the environment variables of libpq: one of PGSSLMODE and the other PG… is invalid"
    alone = [name for name, value in parts.items() if not _libpq_accepts({name: value})]
    if "service" in alone:
        return "names a service that the service file of libpq does not define: correct it, or set PGSERVICEFILE"
    if alone:
        return f"has a value in {alone[0]} that libpq refuses: correct or remove it"
    return "has parameters that libpq refuses together, such as two ports for three hosts: correct them"


def _libpq_accepts(parts: Mapping[str, str]) -> bool:
    """Whether libpq gets as far as connecting. It is sent nowhere, to as many hosts as the address names."""
    hosts = len(_listed(parts, "host") or _listed(parts, "hostaddr") or [NOWHERE])
    sent_nowhere = {**parts, "host": ",".join([NOWHERE] * hosts), "hostaddr": ""}
    connection = pq.PGconn.connect_start(make_conninfo("", **sent_nowhere).encode())
    try:
        return f'"{NOWHERE}/' in connection.error_message.decode(errors="replace")
    finally:
        connection.finish()
