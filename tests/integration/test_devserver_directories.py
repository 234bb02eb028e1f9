"""The directories of the embedded servers are private, short enough for sockets, and open no home to others."""

import os
import shlex
import shutil
import smtplib
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis

from devserver import directories, product, welcome_page
from devserver.directories import MAX_SOCKET_DIRECTORY
from devserver.errors import DevserverError
from devserver.mailbox import mail_catcher
from devserver.options import Options
from devserver.servers import FAST, Postgres, Valkey
from runtime.programs import ROOT


@pytest.fixture(autouse=True)
def annexes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with directories.temporary() as folder:
        monkeypatch.setattr(directories, "ANNEXES", folder)
        yield


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_may_access_the_socket_directory() -> None:
    with directories.temporary() as folder:
        prepared = directories.prepare(folder)

        assert mode(prepared.sockets) == 0o700


HOLDER = """
import sys
from pathlib import Path
from devserver import directories
with directories.temporary("left-", Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_killed_process_is_deleted_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "left-unmarked").mkdir()
    with ExitStack() as stack:
        holders = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLDER, str(tmp_path)],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        killed, used = [Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout]
        holders[0].kill()
        holders[0].wait(10)
        assert killed.exists()

        with directories.temporary("left-", tmp_path) as own:
            assert {folder.name for folder in tmp_path.iterdir()} == {own.name, used.name, "left-unmarked"}
        holders[1].kill()


def test_the_sockets_of_a_deep_directory_have_a_short_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)

    prepared = directories.prepare(deep)

    with directories.cleaned_up(prepared):
        assert len(os.fsencode(prepared.sockets)) <= MAX_SOCKET_DIRECTORY
    assert not prepared.sockets.exists()


def test_a_directory_that_cannot_be_created_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DevserverError, match=r"cannot be used .*: choose another --data-dir"):
        directories.prepare(tmp_path / "file" / "data")


def test_a_private_home_stays_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    prepared = directories.prepare(home / "data")

    assert mode(home) == 0o700
    # As root, Postgres runs as an unprivileged user in another directory, which the note names.
    assert prepared.postgres.is_relative_to(home) == (os.geteuid() != 0)
    assert (str(prepared.postgres.parent) in prepared.note) == (os.geteuid() == 0)


def test_a_new_data_directory_inherits_nothing_from_a_deleted_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    directories.prepare(home / "data").postgres.mkdir()
    assert directories.prepare(home / "data").postgres.exists()

    shutil.rmtree(home / "data")

    assert not directories.prepare(home / "data").postgres.exists()


def test_the_secret_key_is_created_once_and_private(tmp_path: Path) -> None:
    key = product.secret_key(tmp_path / "secret-key")

    assert product.secret_key(tmp_path / "secret-key") == key
    assert len(key) >= 32
    assert mode(tmp_path / "secret-key") == 0o600


def test_the_refusal_of_a_port_in_use_suggests_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            DevserverError, match=f'Port {port} on 127.0.0.1 is not available .* make up ARGS="--port {port + 1}"'
        ):
            product.port_for(port)


def test_the_mail_catcher_stores_a_mail_as_a_file(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "mails") as port, smtplib.SMTP("127.0.0.1", port) as relay:
        relay.sendmail("no-reply@tenantry.example", ["ada@example.com"], b"Subject: Welcome\r\n\r\nHello\r\n")

    (mail,) = (tmp_path / "mails").iterdir()
    assert mail.name.endswith("ada@example.com.eml")
    assert mail.read_bytes() == b"Subject: Welcome\r\n\r\nHello\r\n"


ODD = "a b, c%d #e?f 'g' \"h\" $i"
"""A name with everything that shells, lists of libpq and addresses treat in their own way."""


def test_the_servers_run_in_a_directory_with_an_odd_name(tmp_path: Path) -> None:
    prepared = directories.prepare(tmp_path / ODD)
    postgres, valkey = Postgres(prepared, FAST), Valkey(prepared)
    children = [postgres.start(), valkey.start()]
    try:
        postgres.create_database("tenantry")
        with psycopg.connect(postgres.url("tenantry")) as connection, redis.Redis.from_url(valkey.url) as broker:
            answers = connection.execute("SELECT 1").fetchone(), broker.ping()
        command = [*shlex.split(postgres.psql("tenantry")), "-Atc", "SELECT 2"]
        printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    finally:
        for child in children:
            child.stop()

    assert answers == ((1,), True)
    assert printed == "2\n"


def test_a_command_of_the_welcome_page_finds_the_tokens_in_a_directory_with_an_odd_name(tmp_path: Path) -> None:
    data = tmp_path / ODD
    data.mkdir()
    (data / "tokens.json").write_text('{"acme": {"owner": "the-token"}}')

    page = welcome_page.text(Options(data=data), "psql")
    [line] = [line.strip() for line in page.splitlines() if line.strip().startswith("TOKEN=")]
    shown = subprocess.run(["sh", "-c", f'{line}; echo "$TOKEN"'], capture_output=True, text=True, check=True).stdout

    assert shown == "the-token\n"


def test_a_directory_of_another_user_is_refused_with_the_users_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)  # the directory belongs to the user of this test

    with pytest.raises(DevserverError, match=r"belongs to the user \S+: start as that user, or choose another"):
        directories.prepare(tmp_path)
