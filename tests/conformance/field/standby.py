"""A standby of a testbed's Postgres: a second server that streams from it, can fall behind, and can be promoted."""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import psycopg

from devserver import directories
from devserver.directories import Directories
from devserver.processes import Child
from devserver.servers import SUPERUSER, Postgres
from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.relay import Relay

SOCKET = ".s.PGSQL.5432"


class Standby:
    """Streams from the primary over a relay."""

    def __init__(self, primary: Postgres, primary_socket: Path, folder: Path, settings: dict[str, str]) -> None:
        self._primary = primary
        self._directories = directories.prepare(folder)
        self._relay = Relay(primary_socket, _socket_folder(self._directories) / SOCKET)
        self.postgres = Postgres(self._directories, settings)
        self.server: Child | None = None

    @property
    def socket(self) -> Path:
        """The socket on which it accepts connections."""
        return self._directories.sockets / SOCKET

    def start(self, stack: ExitStack) -> None:
        """Copy the primary with pg_basebackup and stream from it. The stack ends the processes and the relay."""
        stack.enter_context(directories.cleaned_up(self._directories))
        stack.enter_context(self._relay)
        _give(self._relay.socket_path, self._directories)
        self._copy_primary()
        self.server = self.postgres.start()
        stack.callback(self.server.stop)

    def fall_behind(self) -> None:
        """Wait until it has everything that the primary has now, then cut the connection: it gets nothing more."""
        position = self._ask(self._primary, "SELECT pg_current_wal_flush_lsn()::text")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        until(lambda: self._ask(self.postgres, replayed), f"void: the standby does not reach {position}")
        self._relay.cut()

    def promote(self) -> None:
        """Make it a primary, which takes writes."""
        assert self._ask(self.postgres, "SELECT pg_promote()") is True, "void: the standby is not promoted"

    def _copy_primary(self) -> None:
        folder, account = self.postgres.data, self._directories.account
        folder.mkdir(mode=0o700)
        _give(folder, self._directories)
        address = f"postgresql://{SUPERUSER}@/?host={quote(str(self._relay.socket_path.parent), safe='')}"
        subprocess.run(
            [str(self._directories.programs / "pg_basebackup"), "-d", address, "-D", str(folder)]
            + ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=True,
        )

    @staticmethod
    def _ask(server: Postgres, question: str) -> object:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            (answer,) = connection.execute(question.encode()).fetchone() or (None,)
        return answer


def _socket_folder(directories_: Directories) -> Path:
    """The folder of the relay's socket, which only the account of the servers can open."""
    folder = directories_.sockets / "primary"
    folder.mkdir()
    _give(folder, directories_)
    return folder


def _give(path: Path, directories_: Directories) -> None:
    """Make the account of the servers the owner: as root, Postgres runs as another user."""
    if account := directories_.account:
        os.chown(path, account.uid, account.gid)
