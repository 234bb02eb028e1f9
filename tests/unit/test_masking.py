"""Secrets and e-mail addresses are masked in every text that is put on record, shown or logged."""

import base64
import hashlib
import html
import json
import logging
import re
import string
import time
from collections.abc import Callable, Iterator
from email.header import Header
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from access.api_tokens import new_token
from adapters.external_text import message_from
from provisioning.error_messages import describe
from provisioning.ports import TryAgain
from runtime.known_secrets import KnownSecrets
from runtime.logging import FieldsFormatter
from runtime.masking import (
    DEPTH,
    END,
    EVERY_SHAPE,
    LONGEST_TEXT,
    MARGIN,
    _masked,
    masked,
    remember_secrets,
    without_secrets,
)
from schema.node import global_id
from schema.pagination import Cursors

FIRST, SECOND = "dS7-first_secret/of+this=test", "p@ss w\u00f6rd:of/this test"
remember_secrets([FIRST, SECOND])

HOSTILE = [
    *(
        "a",
        "0",
        "p",
        " ",
        "\n",
        ".",
        "-",
        "_",
        "/",
        "//",
        "%",
        "%25",
        "%2525",
        "&",
        "&#0",
        "&#x0",
        "\\",
        '\\"',
        '"',
        "?",
    ),
    *(
        "@",
        "a@",
        "a@b ",
        "\u00e9@",
        "!@",
        '"@',
        "a.",
        "\u0301",
        "\u00e9",
        "%40",
        "%2540",
        "\\u0040",
        "\\x40",
        "&commat",
        "0@[",
    ),
    *(
        "://",
        "://a:",
        "://a:b@",
        "https://",
        "eyJ",
        "eyJ-",
        "eyJ.",
        "eyJ%20",
        "tnt_",
        "ghp_",
        "sk_live_",
        "AKIA",
        "xoxb-",
        "SG.",
    ),
    *(
        "token",
        "token ",
        "token=",
        "token:",
        '"token": "',
        '"token',
        'token\\\\"',
        "token: 'a",
        "password",
        "pwd-",
        "api_key",
    ),
    *("Bearer ", "bearer aaaaaaaaa ", "Digest  ", "authorization:a ", "cookie: a ", "-----BEGIN ", "SCRAM-SHA-256$"),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "?key=",
        "&a-",
        "=?",
        "=?a?b?",
        "=?a?b?YQ==?= ",
        "=?a?q?=41?=",
        "YWRh",
        "YWRhQGIu",
        "QA",
    ),
    *("YWRhQGFjbWUuZXhhbXBsZQ== ", "6164614061636d65 ", "&#99999", "hooks.slack.com/", "xox", ":AA", "1:AA"),
]
"""Parts of which a hostile text consists: the beginnings of what is masked, and what is masked."""

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=8, max_size=60)
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as JSON": json.dumps,
    "as bytes": lambda secret: repr(secret.encode()),
    "as Python writes it": repr,
    "in an address": lambda secret: quote(secret, safe=""),
    "in an address, with small digits": lambda secret: re.sub("%..", lambda it: it[0].lower(), quote(secret, safe="")),
    "in an address in an address": lambda secret: quote(quote(secret, safe=""), safe=""),
    "as JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "as JSON with letters of all scripts": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "as HTML": html.escape,
    "in hexadecimal digits": lambda secret: secret.encode().hex(),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 of addresses": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "with a line feed": lambda secret: f"Illegal header value {f'Bearer {secret}' + chr(10)!r}",
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=50, deadline=None)
@given(secret=SECRETS)
@example(secret=SECOND)
@example(secret='back\\slash"quote')
def test_a_known_secret_is_masked_in_every_form_in_which_a_library_quotes_it(form: str, secret: str) -> None:
    known = KnownSecrets()
    known.add([secret])
    quoted = FORMS[form](secret)

    assert secret not in known.mask(f"before {quoted} after")
    assert not set(secret.split()) & set(known.mask(quoted).split()) - {"***"}
    assert quoted.strip("'\"") not in known.mask(f"before {quoted} after")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@settings(max_examples=50, deadline=None)
@given(secret=SECRETS, before=st.text(max_size=5), after=st.text(max_size=5))
@example(secret="00000000", before="", after="0")  # its base64 has only letters
def test_a_known_secret_is_masked_inside_a_longer_text_in_base64(
    encode: Callable[[bytes], bytes], secret: str, before: str, after: str
) -> None:
    known = KnownSecrets()
    known.add([secret])

    shown = known.mask(encode(f"{before}{secret}{after}".encode()).decode())

    assert "***" in shown
    assert len(shown.replace("***", "")) <= len(base64.b64encode(f"{before}{after}".encode())) + 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "connecting to postgresql://app:hunter2@db/tenantry failed",
            "connecting to postgresql://***@db/tenantry failed",
        ),
        ("redis://:p@ss/w?rd@cache:6379/0", "redis://***@cache:6379/0"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz=", "authorization: basic ***"),
        ("Send a token: Authorization: Bearer <token>.", "Send a token: Authorization: Bearer <token>."),
        ("token tnt_0123456789abcdef", "token ***"),
        ("eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl is expired", "*** is expired"),
        ("host=db password=hunter2 user=app", "host=db password=*** user=app"),
        ("/hook?access_token=abc123&page=2", "/hook?access_token=***&page=2"),
        ("""{"smtp_password": "hun\\"ter2", "port": 25}""", """{"smtp_password": "***", "port": 25}"""),
        ("host=db password = 'hun ter2' user=app", "host=db password = '***' user=app"),
        ("password = hunter", "password = ***"),
        ("smtp_password: hunter22", "smtp_password: ***"),
        ('{"token": 12345678}', '{"token": ***}'),
        (r"{\"token\": \"hunter\"}", r"{\"token\": \"***\"}"),
        ("Authorization: token hunter", "Authorization: token ***"),
        ("Authorization: Bearer hunter", "Authorization: Bearer ***"),
        ("Set-Cookie: session=hunter; Path=/", "Set-Cookie: ***; Path=/"),
        ("X-Api-Key: hunter22", "X-Api-Key: ***"),
        ("/hook?auth=Bearer%20hunter22&page=2", "/hook?auth=Bearer%20***&page=2"),
        ("/hook?t=x%20tnt_0123456789abcdef", "/hook?t=x%20***"),
        ("https://blob.example/x?sv=1&sig=hunter", "https://blob.example/x?sv=1&sig=***"),
        ("https://s3.example/x?X-Amz-Signature=hunter&a=1", "https://s3.example/x?X-Amz-Signature=***&a=1"),
        ("PASSWORD 'SCRAM-SHA-256$4096:salt$stored:server'", "PASSWORD '***'"),
        ("-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----", "-----***-----END EC PRIVATE KEY-----"),
    ],
)
def test_a_secret_is_recognised_by_its_shape(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "address",
    [
        "ada@acme.example",
        "ada.lovelace+billing@acme.example",
        "o'neil@acme.example",
        '"ada lovelace"@acme.example',
        "j\u00f6rg@b\u00fccher.example",
        "ada@localhost",
        "ada@[192.0.2.1]",
        "ada%40acme.example",
        "ada%2540acme.example",
        "ada&#64;acme.example",
        "ada\\u0040acme.example",
        "ada\uff20acme.example",
        "ada\u0301lovelace@acme.example",
        "ada\u200d\u2764@acme.example",
        "ada\x00@acme.example",
        r'"ada \"lovelace\""@acme.example',
        "ADA@ACME.EXAMPLE",
    ],
)
@pytest.mark.parametrize(
    "around", ["550 5.1.1 <{}>: no such user", "{}", "to={} relay=mx", "mailbox {}, try later", "'{}'"]
)
def test_the_local_part_of_an_address_is_masked(address: str, around: str) -> None:
    shown = masked(around.format(address))

    assert "***" in shown
    assert "ada" not in shown.lower()
    assert "lovelace" not in shown
    assert "j\u00f6rg" not in shown
    assert "neil" not in shown


@settings(max_examples=50, deadline=None)
@given(
    local=st.text("abcdefghijklmnopqrstuvwxyz0123456789.!#$%&*+-/=?^_`{|}~'", min_size=3, max_size=64).filter(
        lambda local: any(map(str.isalnum, local))
    )
)
def test_no_local_part_that_the_mail_standard_allows_is_shown(local: str) -> None:
    shown = masked(f"the relay says: 550 <{local}@acme.example> is unknown")

    assert f"{local[-3:]}@" not in shown
    assert shown.endswith("***@acme.example> is unknown")


@pytest.mark.parametrize(
    "text",
    [
        "step failed [run=0199c2d4-8d1e-7c33-9d35-1f0a5f3a91c2 step=allocate_storage direction=forward]",
        "The deployer refused the request (422): quota exceeded",
        "Directive '@include' argument 'if' of type 'Boolean!' is required",
        "TENANTRY_SECRET_KEY is not set: At least 32 characters.",
        "the token is expired: sign in again",
        "http://deployer.internal:8080/workloads",
        "Bearer authentication is required",
        "Invalid token: it has expired",
        "The Authorization header is missing",
    ],
)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_a_secret_that_is_a_word_is_masked_only_where_it_stands_alone() -> None:
    known = KnownSecrets()
    known.add(["tenantry", "abc"])

    assert known.mask("tenantry_feed, tenantry: abc") == "tenantry_feed, ***: abc"


def test_text_for_a_client_keeps_the_address_that_the_client_sent() -> None:
    assert without_secrets(f"ada@x is not an address, {FIRST}") == "ada@x is not an address, ***"


def test_a_secret_at_the_end_of_the_shown_text_is_not_cut_in_half() -> None:
    said = f"{'x' * 285} {FIRST}"

    assert "dS7" not in message_from(said)
    assert "dS7" not in describe(TryAgain(said))


def test_an_error_on_record_has_no_secret_and_no_address() -> None:
    refused = TryAgain(f"The relay said {FIRST} about ada@acme.example")

    assert describe(refused) == "The relay said *** about ***@acme.example"
    assert (
        describe(RuntimeError(f"Illegal header value b'Bearer {FIRST}\\n'"))
        == "RuntimeError: Illegal header value b'Bearer ***\\n'"
    )


def test_a_log_line_has_no_secret_and_no_address_in_message_trace_and_fields() -> None:
    error = RuntimeError(f"{FIRST} of ada@acme.example")
    fields = {"exc_info": (type(error), error, None), "cause": SECOND}
    record = logging.makeLogRecord({"msg": "failed for %s", "args": ("ada@acme.example",), **fields})

    line = FieldsFormatter("%(message)s").format(record)

    assert "RuntimeError: *** of ***@acme.example" in line
    assert line.endswith("[cause=***]")
    assert "ada" not in line


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses, without padding": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 of a longer text": lambda text: base64.b64encode(f"to {text} at noon".encode()).decode(),
    "base64 of base64": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 with percent signs": lambda text: quote(base64.b64encode(f"{text} now".encode()).decode(), safe=""),
    "an encoded word in base64": lambda text: f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?=",
    "an encoded word, quoted": lambda text: f"=?UTF-8?Q?{''.join(f'={byte:02X}' for byte in text.encode())}?=",
    "encoded words of a header": lambda text: Header(f"Gr\u00fc\u00dfe {text}", "utf-8", maxlinelen=40).encode(),
    "percent signs": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent signs twice": lambda text: quote("".join(f"%{byte:02X}" for byte in text.encode())),
    "references of HTML": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "hexadecimal references of HTML": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "escapes of JSON": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "escapes of Python's bytes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "hexadecimal digits": lambda text: text.encode().hex(),
    "bytea of Postgres": lambda text: f"\\x{text.encode().hex()}",
}
LOCAL_PARTS = st.from_regex(
    r"[a-z0-9\u00e0-\u00f6\u00f8-\u00ff][a-z0-9\u00e0-\u00f6\u00f8-\u00ff.+_-]{3,30}", fullmatch=True
)
DOMAINS = st.sampled_from(["acme.example", "localhost.localdomain", "b.cd", "mail.b\u00fccher.example", "a-b.co.uk"])


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=30, deadline=None)
@given(
    local=LOCAL_PARTS, domain=DOMAINS, around=st.sampled_from(["{}", "550 <{}>: unknown", "/t/{}?page=1", "to {}, x"])
)
@example(local="ada.lovelace", domain="acme.example", around="{}")
@example(local="ad\u00e0", domain="acme.example", around="{}")  # its last byte alone is a blank
def test_an_address_is_masked_in_every_encoding_of_mails_and_addresses(
    encoding: str, local: str, domain: str, around: str
) -> None:
    encoded = ENCODINGS[encoding](f"{local}@{domain}")

    shown = masked(around.format(encoded))

    assert "***" in shown
    assert encoded not in shown
    assert not any(word in shown for word in encoded.split())


ESCAPING: dict[str, Callable[[str], str]] = {"JSON": json.dumps, "Python": ascii}


@pytest.mark.parametrize("escaping", ESCAPING)
@settings(max_examples=30, deadline=None)
@given(local=LOCAL_PARTS, domain=DOMAINS, around=st.sampled_from(["{}", "TO <{}>: REFUSED", "/T/{}?P=1"]))
@example(local="j\u00f6rg.m\u00fcller", domain="acme.example", around="{}")
def test_no_part_of_an_address_with_escaped_letters_is_left(
    escaping: str, local: str, domain: str, around: str
) -> None:
    shown = masked(ESCAPING[escaping](around.format(f"{local}@{domain}")))

    assert "***" in shown
    beside_the_domain = shown.replace(ESCAPING[escaping](domain).strip("\"'"), "")
    assert [part for part in re.findall("[a-z0-9]{2,}", local) if part in beside_the_domain] == []


def digits(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


ALNUM = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"
SMALL_HEX = "0123456789abcdef"
WORD = ALNUM + "_-"
JSON_PART = st.dictionaries(digits(string.ascii_lowercase, 3), digits(ALNUM, 5, 20), min_size=1, max_size=3).map(
    lambda part: base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).decode().rstrip("=")
)
TOKENS: dict[str, st.SearchStrategy[str]] = {
    "AWS": st.tuples(st.sampled_from(["AKIA", "ASIA"]), digits(BASE32, 16)).map("".join),
    "GitHub": st.tuples(st.sampled_from(["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]), digits(ALNUM, 36)).map("".join),
    "GitHub, fine-grained": st.tuples(digits(ALNUM, 22), digits(ALNUM, 59)).map(
        lambda it: "github_pat_" + "_".join(it)
    ),
    "GitLab": digits(WORD, 20).map("glpat-{}".format),
    "Slack": st.tuples(
        st.sampled_from(["xoxb", "xoxp", "xoxa", "xoxr", "xoxs"]),
        digits(string.digits, 12),
        digits(string.digits, 12),
        digits(ALNUM, 24),
    ).map("-".join),
    "Stripe": st.tuples(st.sampled_from(["sk_live_", "sk_test_", "rk_live_"]), digits(ALNUM, 24, 99)).map("".join),
    "Google": digits(WORD, 35).map("AIza{}".format),
    "SendGrid": st.tuples(st.just("SG"), digits(WORD, 22), digits(WORD, 43)).map(".".join),
    "OpenAI": digits(ALNUM, 48).map("sk-{}".format),
    "Anthropic": digits(WORD, 93).map("sk-ant-api03-{}AA".format),
    "npm": digits(ALNUM, 36).map("npm_{}".format),
    "PyPI": digits(WORD, 60, 180).map("pypi-AgEIcHlwaS5vcmc{}".format),
    "Vault": digits(ALNUM, 24, 90).map("hvs.{}".format),
    "DigitalOcean": digits(SMALL_HEX, 64).map("dop_v1_{}".format),
    "a JSON web token": st.tuples(JSON_PART, JSON_PART, digits(WORD, 43)).map(".".join),
    "Tenantry": st.builds(new_token),
    "a private key": st.tuples(
        st.sampled_from(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "]), digits(ALNUM + "+/", 64, 200)
    ).map(lambda it: f"-----BEGIN {it[0]}PRIVATE KEY-----\n{it[1]}\n-----END {it[0]}PRIVATE KEY-----\n"),
}


@pytest.mark.parametrize("provider", TOKENS)
@settings(max_examples=30, deadline=None)
@given(
    data=st.data(),
    around=st.sampled_from(
        ["{}", "failed for {}", "/hook/{}?page=2", "x={}", '{{"it": "{}"}}', "x_{}", "%20{}", "(\\n{})"]
    ),
    encoding=st.sampled_from(
        [str, quote, *(ENCODINGS[name] for name in ("base64", "percent signs", "hexadecimal digits"))]
    ),
)
def test_a_token_of_a_provider_is_masked_where_it_stands_alone(
    provider: str, data: st.DataObject, around: str, encoding: Callable[[str], str]
) -> None:
    token = data.draw(TOKENS[provider])

    shown = masked(around.format(encoding(token)))

    assert "***" in shown
    assert token[len(token) // 2 - 4 : len(token) // 2 + 4] not in shown
    assert encoding(token)[len(token) // 2 :] not in shown


CURSORS = Cursors("tenants by created_at", (str, str))
HASHES = st.binary(max_size=8).map(hashlib.sha256)
SLUGS = st.from_regex(r"[a-z][a-z0-9]{0,12}(-[a-z0-9]{1,12}){0,3}", fullmatch=True)
NOT_SECRET: dict[str, st.SearchStrategy[str]] = {
    "a UUID": st.uuids().map(str),
    "a UUID without dashes": st.uuids().map(lambda it: it.hex),
    "a commit": HASHES.map(lambda it: it.hexdigest()[:40]),
    "a digest": HASHES.map(lambda it: f"sha256:{it.hexdigest()}"),
    "a digest in base64": HASHES.map(lambda it: f"sha256-{base64.b64encode(it.digest()).decode()}"),
    "a time": st.datetimes().map(lambda it: f"{it.isoformat()}+00:00"),
    "a slug": SLUGS,
    "an id of GraphQL": st.tuples(st.sampled_from(["Tenant", "ServiceAccount"]), st.uuids()).map(
        lambda it: global_id(*it)
    ),
    "a cursor": st.tuples(st.datetimes(), st.uuids()).map(CURSORS.write),
    "the name of a resource": st.tuples(SLUGS, HASHES).map(lambda it: f"t_{it[0]}_{it[1].hexdigest()[:32]}_r1"),
    "a task with a commit": HASHES.map(lambda it: f"task-{it.hexdigest()[:40]}"),
    "a name in Python": st.sampled_from(
        ["TENANTRY_DATABASE_URL", "IdempotencyKeyJanitor.run.started", "test_disk_test_installations", "AssertionError"]
    ),
    "a path": SLUGS.map(lambda it: f"/srv/{it}/server/graphql/http.py"),
}


@pytest.mark.parametrize("kind", NOT_SECRET)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_is_no_secret_stays_readable(kind: str, data: st.DataObject) -> None:
    text = f"failed for {data.draw(NOT_SECRET[kind])} at the second attempt"

    assert masked(text) == text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=5), st.text(max_size=5))
@example(['a"@"@'], "0")
def test_masking_twice_is_masking_once(parts: list[str], more: str) -> None:
    once = masked("".join(parts) + more)

    assert masked(once) == once


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 40), st.sampled_from([FIRST, SECOND, "ghp_" + "a1B2" * 9, "adalovelace@x"]))
def test_no_secret_is_cut_in_half_where_a_very_long_text_is_cut(before: int, secret: str) -> None:
    for end in (END, 3 * LONGEST_TEXT - END, END + MARGIN, 3 * LONGEST_TEXT - END - MARGIN):
        text = "." * (end - before) + f" {secret} "
        shown = masked(text + "." * (3 * LONGEST_TEXT - len(text)))

        assert not set(pieces_of(secret)) & set(pieces_of(shown))


def pieces_of(text: str, length: int = 4) -> Iterator[str]:
    return (
        piece
        for start in range(len(text))
        if (piece := text[start : start + length]).isalnum() and len(piece) == length
    )


def test_of_a_very_long_text_both_ends_are_shown_with_a_note() -> None:
    shown = masked("a" * 50_000 + "z" * 50_000)

    assert shown == f"{'a' * END} \u2026 88000 characters are left out \u2026 {'z' * END}"


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_is_masked_quickly(unit: str) -> None:
    whole, longer = (
        milliseconds(masked_whole, unit * (length // len(unit))) for length in (LONGEST_TEXT, 4 * LONGEST_TEXT)
    )

    assert longer < 8 * whole + 20  # in proportion to the text
    assert milliseconds(masked, unit * (100_000 // len(unit))) < 60  # about 15 on two busy cores


def masked_whole(text: str) -> str:
    return _masked(text, EVERY_SHAPE, DEPTH)


def milliseconds(act: Callable[[str], str], text: str) -> float:
    """Processor time: other processes do not count."""
    started = time.process_time()
    act(text)
    return (time.process_time() - started) * 1000
