"""The embedded servers' folders: private, within the limits of sockets, and no home is ever opened for them."""

import os
import shutil
import smtplib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from devserver import places, product
from devserver.mailbox import mail_catcher
from devserver.places import LONGEST_SOCKET_FOLDER
from devserver.refusal import Refused


@pytest.fixture(autouse=True)
def annexes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with places.temporary() as folder:
        monkeypatch.setattr(places, "ANNEXES", folder)
        yield


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_their_owner_may_enter_the_sockets_folder() -> None:
    with places.temporary() as folder:
        settled = places.settle(folder)

        assert mode(settled.sockets) == 0o700


def test_sockets_of_a_deep_folder_have_a_short_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)

    settled = places.settle(deep)

    with places.left_clean(settled):
        assert len(os.fsencode(settled.sockets)) <= LONGEST_SOCKET_FOLDER
    assert not settled.sockets.exists()


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Refused, match=r"cannot be used .*; choose another --data-dir"):
        places.settle(tmp_path / "file" / "data")


def test_a_closed_home_stays_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    settled = places.settle(home / "data")

    assert mode(home) == 0o700
    # As root, Postgres runs as nobody and has to live elsewhere, which is said.
    assert settled.postgres.is_relative_to(home) == (os.geteuid() != 0)
    assert (str(settled.postgres.parent) in settled.note) == (os.geteuid() == 0)


def test_a_fresh_data_directory_inherits_nothing_from_one_that_was_thrown_away(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    places.settle(home / "data").postgres.mkdir()
    assert places.settle(home / "data").postgres.exists()

    shutil.rmtree(home / "data")

    assert not places.settle(home / "data").postgres.exists()


def test_the_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = product.secret_key(tmp_path / "secret-key")

    assert product.secret_key(tmp_path / "secret-key") == key
    assert len(key) >= 32
    assert mode(tmp_path / "secret-key") == 0o600


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            Refused, match=f'Port {port} on 127.0.0.1 cannot be had .* make up ARGS="--port {port + 1}"'
        ):
            product.port_for(port)


def test_a_mail_becomes_a_file(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "mails") as port, smtplib.SMTP("127.0.0.1", port) as relay:
        relay.sendmail("no-reply@tenantry.example", ["ada@example.com"], b"Subject: Welcome\r\n\r\nHello\r\n")

    (letter,) = (tmp_path / "mails").iterdir()
    assert letter.name.endswith("ada@example.com.eml")
    assert letter.read_bytes() == b"Subject: Welcome\r\n\r\nHello\r\n"
