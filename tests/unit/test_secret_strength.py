"""A random key passes, and a placeholder, a sentence or a pattern does not."""

import random
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from runtime.secret_strength import secret_key

RECIPES: dict[str, Callable[[bytes], str]] = {
    "openssl rand -hex 16": lambda data: data[:16].hex(),
    "openssl rand -hex 32": bytes.hex,
    "in capitals": lambda data: data[:16].hex().upper(),
    "openssl rand -base64 24": lambda data: b64encode(data[:24]).decode(),
    "openssl rand -base64 32": lambda data: b64encode(data).decode(),
    "secrets.token_urlsafe(24)": lambda data: urlsafe_b64encode(data[:24]).decode().rstrip("="),
    "secrets.token_urlsafe(32)": lambda data: urlsafe_b64encode(data).decode().rstrip("="),
}


@pytest.mark.parametrize("recipe", RECIPES)
@hypothesis(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**64 - 1))
def test_a_random_key_passes(recipe: str, seed: int) -> None:
    key = RECIPES[recipe](random.Random(seed).randbytes(32))

    assert secret_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "bad4baba6dad2ada1abad6dead4feed0",
        "BACA2BEBE4DEE5ADA9BED6DADE3BABE3",
        "Xq7your-9Jw2LpZ0vTn4RkHy8sBd3MfGcQ_u1eWoAiK",
    ],
)
def test_short_words_between_other_letters_and_digits_are_accidents(key: str) -> None:
    assert secret_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "your-secret-key-here-please-change",
        "changeme-changeme-changeme-changeme",
        "change-this-secret-before-production-use-please",
        "this-is-a-very-long-placeholder-secret-key-please-change-me-in-production",
        "replace-me-with-a-random-string-of-at-least-32-characters",
        "REPLACE_WITH_OUTPUT_OF_openssl_rand_hex_32",
        "django-insecure-4w#x!9z0v)k2^q7r&m1p$t8u*e5y(b3n@c6j%h-d+f_g=a",
        "secret-key-for-development-only-do-not-use",
        "only for this draft: kept nowhere in the world",
        "benchmarks only, and at least 32 characters long",
        "the quick brown fox jumps over the lazy dog again",
        "correct horse battery staple correct horse battery staple",
        "a-string-with-at-least-two-hundred-and-fifty-six-bits",
        "ThisIsTheKeyThatNobodyWillEverGuessBecauseItIsLong2024!",
        "Ch4ng3M3T0S0m3th1ngS3cur3Pl34s3N0wT0dayAndF0r3v3r",
        "my$uper$ecretPa55w0rdThatIsVeryL0ngAndG00d",
        "summer2024winter2025spring2026autumn2027",
        "monkey-dragon-football-baseball-superman-batman-shadow",
        "admin-admin-root-toor-letmein-welcome-123456",
        "tenantry-production-key-tenantry-production-key",
        "the cat sat on the mat and the dog ran off far",
        "thecatsatonthematandthedogranoffforone",
        "a1b2c3d4-the-old-man-and-the-sea-by-him",
        "2024-01-01-2024-12-31-2025-01-01-2025-12-31",
        "01.02.2023/03.04.2024/05.06.2025/07.08.2026/09.10.2027",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
        "!QAZ2wsx#EDC4rfv%TGB6yhn&UJM8ik,",
        "zxcvbnm,./asdfghjkl;'qwertyuiop[]",
        "qwertyuiop-asdfghjkl-zxcvbnm-qwertyuiop",
        "deadbeefcafebabefeedfacebaadf00d",
        "0123456789abcdef0123456789abcdef",
        "abcd1234efgh5678ijkl9012mnop3456",
        "8119e597" * 8,
        ":" * 32,
        "_-" * 20,
        "<paste the output of openssl here>",
        "${TENANTRY_KEY_FROM_THE_VAULT_OF_PRODUCTION}",
    ],
)
def test_a_known_placeholder_or_pattern_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="use a random one, for example of openssl rand -hex 32") as refusal:
        secret_key(key)

    assert key not in str(refusal.value)


WORDS = """
    change this that with value before production server application account company default random long string
    development test demo local please token jwt session admin master private never share keep safe very
"""


@hypothesis(max_examples=15, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS.split()), min_size=6, max_size=12),
    between=st.sampled_from(["-", "_", " ", ""]),
)
def test_a_sentence_of_common_words_is_refused(words: list[str], between: str) -> None:
    key = between.join(words).ljust(32, "!")

    with pytest.raises(ValueError, match=r"is easy to guess|placeholder"):
        secret_key(key)
