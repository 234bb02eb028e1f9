"""Secrets and e-mail addresses that are recognised by their shape, whether or not this process knows them.

Every pattern takes time in proportion to the text, whatever the text is: repetitions are possessive or short, and a
pattern that begins with a repetition begins only where a word begins.
"""

import re
from typing import Final, NamedTuple

from runtime.known_secrets import MASK


class Shape(NamedTuple):
    """A pattern, and what stays of a text that has it."""

    signs: tuple[str, ...]
    """The pattern is only in a text that contains one of these, in small letters."""

    pattern: re.Pattern[str]
    replacement: str


PROVIDER_TOKENS: Final = {
    "AGE-SECRET-KEY-1": r"[0-9A-Z]{58}",
    "AKCp": r"[0-9A-Za-z]{60,}+",  # Artifactory
    "AKIA": r"[2-7A-Z]{16}",  # AWS, as are the next three
    "ASIA": r"[2-7A-Z]{16}",
    "ABIA": r"[2-7A-Z]{16}",
    "ACCA": r"[2-7A-Z]{16}",
    "AIza": r"[\w-]{35}",  # Google, as are the next two
    "GOCSPX-": r"[\w-]{28}",
    "ya29.": r"[\w-]{20,}+",
    "AccountKey=": r"[\w+/=]{40,}+",  # Azure
    "Q~": r"[\w.~-]{31,34}",  # Azure
    "ATATT3": r"[\w=-]{100,}+",  # Atlassian
    "dapi": r"[0-9a-f]{32}",  # Databricks
    "dop_v1_": r"[0-9a-f]{64}",  # DigitalOcean, as are the next two
    "doo_v1_": r"[0-9a-f]{64}",
    "dor_v1_": r"[0-9a-f]{64}",
    "dp.pt.": r"[0-9A-Za-z]{40,}+",  # Doppler, as is the next one
    "dp.st.": r"[\w.-]{40,}+",
    "dt0c01.": r"[0-9A-Z]{24}\.[0-9A-Z]{64}",  # Dynatrace
    "fm2_": r"[\w+/=]{100,}+",  # Fly
    "ghp_": r"[0-9A-Za-z]{36,}+",  # GitHub, as are the next five
    "gho_": r"[0-9A-Za-z]{36,}+",
    "ghu_": r"[0-9A-Za-z]{36,}+",
    "ghs_": r"[0-9A-Za-z]{36,}+",
    "ghr_": r"[0-9A-Za-z]{36,}+",
    "github_pat_": r"\w{22,}+",
    "glpat-": r"[\w.-]{20,}+",  # GitLab, as are the next four
    "gldt-": r"[\w.-]{20,}+",
    "glrt-": r"[\w.-]{20,}+",
    "glptt-": r"[\w.-]{20,}+",
    "glcbt-": r"[\w.-]{20,}+",
    "glsa_": r"\w{32,}+",  # Grafana, as is the next one
    "glc_": r"[\w+/=]{32,}+",
    "HRKU-": r"[\w-]{36,}+",  # Heroku
    "hf_": r"[A-Za-z]{34}",  # Hugging Face
    "hvs.": r"[\w-]{24,}+",  # Vault, as are the next two
    "hvb.": r"[\w-]{24,}+",
    "hvr.": r"[\w-]{24,}+",
    "lin_api_": r"[0-9A-Za-z]{40}",  # Linear
    "ntn_": r"[0-9A-Za-z]{40,}+",  # Notion
    "npm_": r"[0-9A-Za-z]{36}",
    "NRAK-": r"[0-9A-Z]{27}",  # New Relic
    "PMAK-": r"[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    "pscale_": r"[a-z]{2,8}_[\w.=-]{32,}+",  # PlanetScale
    "pul-": r"[0-9a-f]{40}",  # Pulumi
    "pypi-": r"[\w-]{50,}+",
    "rubygems_": r"[0-9a-f]{48}",
    "sbp_": r"[0-9a-f]{40}",  # Supabase
    "SG.": r"[\w-]{16,}+\.[\w-]{16,}+",  # SendGrid
    "shpat_": r"[0-9A-Fa-f]{32}",  # Shopify, as are the next three
    "shpca_": r"[0-9A-Fa-f]{32}",
    "shppa_": r"[0-9A-Fa-f]{32}",
    "shpss_": r"[0-9A-Fa-f]{32}",
    "sk-ant-": r"[\w-]{40,}+",  # Anthropic
    "sk-proj-": r"[\w-]{40,}+",  # OpenAI, as are the next two
    "sk-svcacct-": r"[\w-]{40,}+",
    "sk-": r"[0-9A-Za-z]{40,}+",
    "sk_live_": r"[0-9A-Za-z]{10,}+",  # Stripe, as are the next four
    "sk_test_": r"[0-9A-Za-z]{10,}+",
    "rk_live_": r"[0-9A-Za-z]{10,}+",
    "rk_test_": r"[0-9A-Za-z]{10,}+",
    "whsec_": r"[\w+/=]{24,}+",
    "sntrys_": r"[\w+/=]{40,}+",  # Sentry, as is the next one
    "sntryu_": r"[\w+/=]{40,}+",
    "sq0atp-": r"[\w-]{22,}+",  # Square, as is the next one
    "sq0csp-": r"[\w-]{43}",
    ":AA": r"(?<=\d:AA)[\w-]{33}",  # Telegram, behind the number of the bot
    "atlasv1.": r"[\w=-]{60,}+",  # Terraform
    "tnt_": r"[0-9A-Za-z]{49}",  # Tenantry, also inside a word
    "v1.0-": r"[0-9a-f]{24}-[0-9a-f]{146}",  # Cloudflare
    "xox": r"[a-z](?:\.xox[a-z])?-[\w-]{10,}+",  # Slack, as are the next two
    "xapp-": r"[\w-]{20,}+",
    "hooks.slack.com/": r"[a-z]{1,20}/[\w/+-]{20,}+",
}
"""How the tokens of providers begin, and what follows. Without a prefix nothing tells a token from an id.

A tenant's slug has no capital letters and no underscores: a prefix that a slug may have is followed by many characters.
"""

BOUNDARY = r"(?:(?<![\w-])|(?<=%20)|(?<=%22)|(?<=%3[aAdD]))"
"""Where a word begins, also in the query of an address."""

NAME = r"(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key)[\w-]{0,40}+"
"""The name of a secret value."""

UNQUOTED = r"""[^\s&,;)\]'"]"""


ALSO_ENDS_OF_WORDS = frozenset({"SG.", "pul-", "hf_", "sk-", "sk_live_", "sk_test_", "rk_live_", "rk_test_"})
"""Prefixes with which words end too, such as ``task-``. A letter behind a backslash, as of a line feed, is no word."""


def _token(prefix: str) -> str:
    alone = rf"(?<![^\\][A-Za-z]{re.escape(prefix)})" if prefix in ALSO_ENDS_OF_WORDS else ""
    return re.escape(prefix) + alone + PROVIDER_TOKENS[prefix]


def _shape(signs: str, pattern: str, replacement: str = MASK, flags: int = 0) -> Shape:
    return Shape(tuple(signs.casefold().split()), re.compile(pattern, flags), replacement)


OF_PROVIDERS: Final = Shape(
    tuple(prefix.casefold() for prefix in PROVIDER_TOKENS), re.compile("|".join(map(_token, PROVIDER_TOKENS))), MASK
)

SECRETS: Final = (
    # The password of an address: it may contain every character but blanks, also those that should be encoded.
    _shape("://", r"://[^\s/:@]{0,256}+:(?:[^\s@]{0,512}+@){1,16}+", f"://{MASK}@"),
    _shape(
        "bearer basic digest negotiate",
        r"\b(Bearer|Basic|Digest|Negotiate)(\s++|%20)(?=\S{0,512}?[\d._~+/=])[\w.~+/=-]{8,}+",
        rf"\1\2{MASK}",
        re.IGNORECASE,
    ),
    _shape(
        "authorization cookie",
        r"""\b((?:authorization|cookie)\\?["']?\s{0,9}[:=]\s{0,9}\\?["']?)((?:[a-z]{1,20}\s{1,9})?+)(?![<\s])[^\s"',;<\\]++""",
        rf"\1\2{MASK}",
        re.IGNORECASE,
    ),
    OF_PROVIDERS,
    _shape("tnt_", rf"{BOUNDARY}_?tnt_\w{{8,}}+"),
    _shape("eyj", rf"{BOUNDARY}eyJ[\w-]*+\.[\w-]*+\.[\w-]*+"),
    _shape("eyj", r"(?<![\w-])((?:(?!eyJ)[\w-])*+)eyJ[\w-]{6,}+\.eyJ[\w-]*+\.[\w-]*+", rf"\1{MASK}"),
    _shape(
        "passw pwd secret token key",
        rf"({NAME})(?:"
        rf"(=|\s{{1,9}}=\s{{1,9}})(?!true\b|false\b){UNQUOTED}++"
        # Without quotes after a colon it is often a sentence: "invalid token: it is expired".
        rf"|([\"']?\s{{0,9}}:\s{{0,9}})(?=\w{{0,256}}?\d)\w{{6,}}+[^\s&,;)\]'\"}}]*+"
        r"|([\"']?\s{0,9}[:=]\s{0,9}[\"'])(?:[^\"'\\]|\\.)*+"
        r"""|(\\++"\s{0,9}:\s{0,9}\\++")[^"\\]*+)""",
        rf"\1\2\3\4\5{MASK}",
        re.IGNORECASE,
    ),
    _shape(
        "sig= signature= credential= key=",
        r"([?&](?:[\w-]{0,40}-)?(?:sig|signature|credential|key)=)[^\s&#\"']++",
        rf"\1{MASK}",
        re.IGNORECASE,
    ),
    _shape("scram-sha-256$", r"SCRAM-SHA-256\$[\w$:+/=]++"),
    _shape(
        "private",
        r"-----BEGIN[A-Z +]{0,40}[ +]PRIVATE[ +]KEY(?:[ +]BLOCK)?-----(?:(?!-----END).)*+",
        f"-----{MASK}",
        re.DOTALL,
    ),
)

AT = r"(?:@|\uff20|\ufe6b|%(?:25)*40|&#0*64;|&#x0*40;|&commat;|\\{1,16}u0040)"
"""An at sign as addresses, JSON and HTML write it. The first two look like one."""

AT_SIGNS = ("@", "\uff20", "\ufe6b", "%", "&#", "&commat", "\\u0040")

ENDS_WORD = r"\s<>()\[\],;:\"\\@\uff20\ufe6b"
"""What a local part without quotes does not contain. It may have letters of all scripts, marks, joiners, pictures."""

NO_AT = r"(?:%(?!(?:25)*40)|&(?!#0*64;|#x0*40;|commat;))"
"""The characters of a word with which an at sign may begin, where none begins."""

ADDRESS: Final = re.compile(
    rf"(?<![^{ENDS_WORD}])(/*+)(?:[^\w%&{ENDS_WORD}]++|{NO_AT})*+\w(?:[^%&{ENDS_WORD}]++|{NO_AT})*+({AT})(?=[\w\[])",
    re.IGNORECASE,
)
QUOTED_ADDRESS: Final = re.compile(
    rf'(?:(?<![^{ENDS_WORD}])(/*+)[^{ENDS_WORD}]*+)?"(?:[^"\n\\]{{1,64}}+|\\[^\n]){{1,32}}+"({AT})(?=[\w\[])',
    re.IGNORECASE,
)
"""The local part of an e-mail address. The domain stays: it says at which provider a delivery failed."""

ADDRESSES: Final = (
    Shape(AT_SIGNS, ADDRESS, rf"\1{MASK}\2"),
    Shape(AT_SIGNS, QUOTED_ADDRESS, rf"\1{MASK}\2"),
)

AT_SIGN_OR_ESCAPE: Final = re.compile("[@%&\\\\\uff20\ufe6b]")
LONG_WORD: Final = re.compile(r"[\w.~+/=-]{15,}+")
"""No token of a provider is shorter."""

SIGNS: Final = tuple(
    {sign for shape in SECRETS if shape is not OF_PROVIDERS for sign in shape.signs if not sign.endswith("key=")}
)
PREFIXES: Final = tuple(PROVIDER_TOKENS)


def may_have_shape(text: str) -> bool:
    """Whether a text may have one of the shapes: only False is certain, and it costs little."""
    if AT_SIGN_OR_ESCAPE.search(text):
        return True
    folded = text.casefold()
    return _has_any(SIGNS, folded) or (LONG_WORD.search(text) is not None and _has_any(PREFIXES, text))


def _has_any(parts: tuple[str, ...], text: str) -> bool:
    for part in parts:  # noqa: SIM110  # a generator takes three times as long
        if part in text:
            return True
    return False
