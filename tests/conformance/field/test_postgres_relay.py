"""The relay in front of Postgres cuts connections at a commit: before it, or before its answer."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from provisioning import ledger, run_reader, run_store
from tests.conformance.field import pgwire
from tests.conformance.field.pgwire import Statement
from tests.conformance.field.postgres_relay import CommitCuttingRelay, Fate
from tests.conformance.field.relay import ConnectionCut
from tests.conformance.field.relay_clients import connect, session
from tests.waiting import wait_until


@pytest.fixture
def table(postgres: Path) -> Iterator[str]:
    """A table with a constraint that is checked when a transaction commits."""
    name = f"t{uuid4().hex}"
    with connect(postgres) as direct:
        direct.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, other int REFERENCES {name} DEFERRABLE INITIALLY DEFERRED)"
        )
    yield name
    with connect(postgres) as direct:
        direct.execute(f"DROP TABLE {name}")


def ids_in(table: str, postgres: Path) -> set[int]:
    with connect(postgres) as direct:
        return {row[0] for row in direct.execute(f"SELECT id FROM {table}")}


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


def startup(name: str) -> bytes:
    return message(b"", b"\0\3\0\0user\0postgres\0application_name\0%s\0\0" % name.encode())


def insert_in_transaction(connection: psycopg.Connection, table: str, number: int) -> None:
    connection.execute(f"INSERT INTO {table} VALUES (%s)", [number])
    connection.commit()


def insert_in_pipeline(connection: psycopg.Connection, table: str, number: int) -> None:
    with connection.pipeline():
        insert_in_transaction(connection, table, number)


def insert_alone(connection: psycopg.Connection, table: str, number: int) -> None:
    connection.autocommit = True
    connection.execute(f"WITH one AS (INSERT INTO {table} VALUES (%s) RETURNING id) SELECT id FROM one", [number])


def insert_prepared(connection: psycopg.Connection, table: str, number: int) -> None:
    connection.autocommit = True
    connection.execute(f"INSERT INTO {table} VALUES (%s) /* not prepared */", [number], prepare=False)
    connection.execute(f"DELETE FROM {table} WHERE id = %s", [number], prepare=True)
    connection.execute(f"INSERT INTO {table} VALUES (%s)", [number], prepare=True)


def insert_in_batch(connection: psycopg.Connection, table: str, number: int) -> None:
    connection.autocommit = True
    with connection.pipeline():
        connection.execute(f"DELETE FROM {table} WHERE id = %s", [number])
        connection.execute(f"INSERT INTO {table} VALUES (%s)", [number])


class LastOfSome(CommitCuttingRelay):
    """Lets only the first commits be answered."""

    answered = 0

    def fate(self) -> Fate:
        if self.commits % (self.answered + 1) < self.answered:
            self.commits += 1
            return Fate.ANSWERED
        return super().fate()


class SecondOfTwo(CommitCuttingRelay):
    """Lets only the first commit be answered."""

    def fate(self) -> Fate:
        self.commits += 1
        return Fate.ANSWERED if self.commits == 1 else Fate.NEVER_ANSWERED


class TestARelayThatCutsCommits:
    @pytest.mark.parametrize(
        ("insert", "statements", "answered"),
        [
            (insert_in_transaction, 0, 0),
            (insert_in_pipeline, 0, 0),
            (insert_alone, 1, 0),
            (insert_prepared, 3, 2),
            (insert_in_batch, 1, 0),
        ],
        ids=lambda case: getattr(case, "__name__", case),
    )
    def test_hides_from_the_client_whether_a_commit_took_effect(
        self,
        postgres: Path,
        relay_socket: Path,
        table: str,
        insert: Callable[[psycopg.Connection, str, int], None],
        statements: int,
        answered: int,
    ) -> None:
        with LastOfSome(postgres, relay_socket, share=1, seed=7) as relay:
            relay.answered = answered
            errors, kept = set(), set()
            for number in range(20):
                before = relay.never_answered
                with closing(session(relay)) as connection, pytest.raises(psycopg.OperationalError) as caught:
                    insert(connection, table, number)
                errors.add((type(caught.value), caught.value.sqlstate))
                if relay.never_answered > before:
                    kept.add(number)

        assert errors == {(psycopg.OperationalError, None)}
        # After two answered commits the row was deleted: it is there only if the third commit took effect.
        assert ids_in(table, postgres) == kept
        assert relay.never_answered == len(kept)
        assert relay.commits == 20 * (answered + 1)
        assert relay.statements == 20 * statements
        assert relay.cut_connections == relay.never_sent + relay.never_answered == 20
        assert min(relay.never_sent, relay.never_answered) > 3

    def test_cuts_only_the_given_share(self, postgres: Path, relay_socket: Path) -> None:
        def commits_until_the_link_ends() -> int:
            done = 0
            with connect(relay) as connection:
                while not connection.closed and done < 200:
                    try:
                        connection.execute("SELECT 1")
                        connection.commit()
                    except psycopg.OperationalError:
                        break
                    done += 1
            return done

        with CommitCuttingRelay(postgres, relay_socket, share=0.2, seed=1) as relay:
            answered = sum(commits_until_the_link_ends() for _ in range(20))
            assert relay.commits == answered + 20
            assert 60 < relay.commits < 180

            relay.share = 0

            assert commits_until_the_link_ends() == 200

    def test_does_not_cut_sessions_with_other_names(self, postgres: Path, relay_socket: Path, table: str) -> None:
        with CommitCuttingRelay(postgres, relay_socket, share=1, seed=1, names=("tenantry-worker", "other")) as relay:
            with connect(relay, "tenantry-api") as connection:
                connection.execute(f"INSERT INTO {table} VALUES (1)")
            with pytest.raises(psycopg.OperationalError), connect(relay, "others-worker") as connection:
                connection.execute("SELECT 1")

            assert (relay.connections, relay.cut_connections, relay.commits) == (2, 1, 1)
        assert ids_in(table, postgres) == {1}

    def test_does_not_cut_sessions_that_do_not_commit(self, postgres: Path, relay_socket: Path, table: str) -> None:
        with CommitCuttingRelay(postgres, relay_socket, share=1, seed=1) as relay, connect(relay) as connection:
            connection.execute("SELECT 'COMMIT'")
            connection.execute(f"INSERT INTO {table} VALUES (1)")
            connection.rollback()
            connection.autocommit = True
            connection.execute(f"SELECT 'INSERT INTO {table}' FROM {table} FOR NO KEY UPDATE -- DELETE FROM {table}")
            with connection.transaction(force_rollback=True):
                connection.execute(f"INSERT INTO {table} VALUES (2)")

            assert (relay.commits, relay.cut_connections) == (0, 0)
        assert ids_in(table, postgres) == set()

    @pytest.mark.parametrize("alone", [False, True])
    def test_forwards_the_refusal_of_a_commit(
        self,
        postgres: Path,
        relay_socket: Path,
        table: str,
        alone: bool,  # noqa: FBT001  # a case
    ) -> None:
        def insert(connection: psycopg.Connection) -> None:
            connection.execute(f"INSERT INTO {table} VALUES (1, 2)")
            connection.commit()

        refused = 0
        with CommitCuttingRelay(postgres, relay_socket, share=1, seed=3) as relay:
            for _ in range(6):
                with closing(session(relay)) as connection:
                    connection.autocommit = alone
                    while not connection.closed and refused < 100:
                        with pytest.raises((psycopg.OperationalError, psycopg.IntegrityError)) as caught:
                            insert(connection)
                        refused += isinstance(caught.value, psycopg.errors.ForeignKeyViolation)

            assert 3 < refused < 100
            assert (relay.commits, relay.never_sent, relay.never_answered) == (refused + 6, 6, 0)
            assert relay.statements == (relay.commits if alone else 0)

    def test_withholds_the_answer_to_the_chosen_commit_only(self, relay_socket: Path) -> None:
        connection = SecondOfTwo(relay_socket, relay_socket, share=1, seed=1).filter()
        sent = startup("tenantry-worker") + 2 * message(b"Q", b"COMMIT\0")
        committed, ready = message(b"C", b"COMMIT\0"), message(b"Z", b"I")
        assert connection.request(sent) == sent

        assert connection.reply(ready + committed + ready) == ready + committed + ready
        with pytest.raises(ConnectionCut):
            connection.reply(committed)

    def test_lets_a_statement_be_cancelled(self, postgres: Path, relay_socket: Path) -> None:
        with (
            CommitCuttingRelay(postgres, relay_socket, share=0, seed=1) as relay,
            ThreadPoolExecutor() as pool,
            closing(session(relay)) as connection,
            connect(postgres) as direct,
        ):
            # Within a transaction, pg_stat_activity would not change.
            direct.autocommit = True
            stuck = pool.submit(connection.execute, "SELECT pg_sleep(30) /* to be cancelled */")
            query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%be cancelled */'"
            wait_until(lambda: direct.execute(query).fetchone())

            # Not cancel(): that keeps the GIL until the server answers, and the relay would wait for the GIL for ever.
            connection.cancel_safe()

            assert isinstance(stuck.exception(), psycopg.errors.QueryCanceled)


def test_messages_are_read_from_chunks_of_any_size() -> None:
    sent = [message(b"Q", b"BEGIN\0"), message(b"S", b""), message(b"Q", b" commit; \0")]
    buffer, found = bytearray(), []

    for byte in b"".join(sent):
        buffer.append(byte)
        if taken := pgwire.take(buffer):
            found.append(taken)

    statements = pgwire.Statements()
    assert found == sent
    assert [statements.executed_by(one) for one in found] == [Statement.BEGIN, None, Statement.COMMIT]


def test_a_prepared_commit_counts_when_it_is_executed() -> None:
    statements = pgwire.Statements()
    script = [
        message(b"P", b"end\0COMMIT\0\0\0"),
        message(b"P", b"go\0SELECT 1\0\0\0"),
        message(b"B", b"a\0end\0\0\0\0\0\0\0"),
        message(b"B", b"b\0go\0\0\0\0\0\0\0"),
        message(b"E", b"b\0\0\0\0\0"),
        message(b"E", b"a\0\0\0\0\0"),
    ]

    executed = [statements.executed_by(one) for one in script]

    assert executed == [None, None, None, None, Statement.OTHER, Statement.COMMIT]


TRANSITION = run_store._Parts(("status",), ("status",), (), (), intended=True, events=True)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("insert\n into t VALUES (1)", Statement.WRITE),
        ("/* why */ DELETE FROM t", Statement.WRITE),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DO NOTHING", Statement.WRITE),
        ("SELECT 1 FROM t FOR UPDATE", Statement.OTHER),
        ("SELECT 'a ''b'' UPDATE t'", Statement.OTHER),
        ("-- UPDATE t\nSELECT 1", Statement.OTHER),
        ("SELECT updates FROM t", Statement.OTHER),
        ("START TRANSACTION READ WRITE", Statement.BEGIN),
        ("ROLLBACK", Statement.OTHER),
        (run_store._write_statement(TRANSITION), Statement.WRITE),
        (run_store.PUBLISH_PROGRESS, Statement.WRITE),
        (run_store.WRITE_TOGETHER, Statement.WRITE),
        (ledger.RECORD_ABSENCE_CHECK, Statement.WRITE),
        (run_store.RENEW, Statement.WRITE),
        (run_store.DISPATCH, Statement.WRITE),
        (run_reader.READ, Statement.OTHER),
        (run_reader.LOCK, Statement.OTHER),
        (run_store.DUE_TO_END, Statement.OTHER),
    ],
)
def test_statements_that_change_rows_are_told_from_those_that_read_or_lock(statement: str, kind: Statement) -> None:
    assert pgwire.kind_of(statement.encode()) is kind
