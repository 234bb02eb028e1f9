"""Which requests come from this machine, and which origins a page's policy may name."""

import pytest
from starlette.requests import Request

from server.auth.csrf import origin_of
from server.dashboard import is_from_this_machine


def request(peer: str | None = "127.0.0.1", **headers: str) -> Request:
    named = {"host": "localhost:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return Request({"type": "http", "method": "GET", "client": (peer, 50000) if peer else None, "headers": raw})


@pytest.mark.parametrize(
    "local",
    [
        request(),
        request("::1"),
        request(host="LocalHost"),
        request(host="127.0.0.1:8000"),
        request(host="[::1]:8000"),
        request(sec_fetch_site="same-origin"),
        request(sec_fetch_site="none"),
        request(origin="http://localhost:8000", sec_fetch_site="same-origin"),
    ],
    ids=lambda local: str(local.headers.items()),
)
def test_a_page_or_a_program_on_this_machine_is_recognised(local: Request) -> None:
    assert is_from_this_machine(local)


@pytest.mark.parametrize(
    "foreign",
    [
        request("192.0.2.7"),
        request("localhost.example"),
        request(None),
        request(host=""),
        request(host="rebound.example:8000"),
        request(host="localhost.rebound.example"),
        request(host="192.168.1.7:8000"),
        request(host="[::1"),
        request(sec_fetch_site="cross-site"),
        request(sec_fetch_site="same-site"),
        request(sec_fetch_site="anything"),
        request(origin="http://localhost:3000"),
        request(origin="null"),
        request(x_forwarded_for="127.0.0.1"),
        request(x_forwarded_host="localhost"),
        request(x_real_ip="127.0.0.1"),
        request(forwarded="for=127.0.0.1"),
        request(via="1.1 proxy"),
    ],
    ids=lambda foreign: f"{foreign.client} {foreign.headers.items()}",
)
def test_a_request_of_another_machine_host_name_or_site_is_not_from_this_machine(foreign: Request) -> None:
    assert not is_from_this_machine(foreign)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://login.example.com/realms/acme", "https://login.example.com"),
        ("https://Login.example.com:443/token?x=y", "https://login.example.com"),
        ("http://127.0.0.1:8080/token", "http://127.0.0.1:8080"),
        ("https://login.example.com;script-src *", None),
        ("https://*/token", None),
        ("https://login.example.com\x7f/token", None),
        ("https://[::1", None),
        ("data:,", None),
        ("", None),
    ],
)
def test_a_policy_names_only_origins(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin
