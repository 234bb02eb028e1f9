"""The directories of the embedded servers are private, short enough for sockets, and open no home to others."""

import os
import shutil
import smtplib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from devserver import directories, product
from devserver.directories import MAX_SOCKET_DIRECTORY
from devserver.errors import DevserverError
from devserver.mailbox import mail_catcher


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
