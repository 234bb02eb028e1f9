"""The judge of e-mail addresses for the API, for sign-in and for the mailer: their normal form, and which are the same.

In the normal form the domain consists of A-labels (``xn--…``), which every relay accepts and every person can tell
apart. A local part in ASCII keeps its capitals; any other is in NFKC and folded.
"""

import re
import unicodedata
from email.headerregistry import Address
from email.utils import unquote

import idna
from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254

MAILBOX = re.compile(r"""(?P<name>"([^"\\]|\\.)*"|[^"<>,;:@()\[\]\\]*)\s*<(?P<address>[^<>]*)>|(?P<alone>[^<>]+)""")
"""RFC 5322, section 3.4, without comments and groups, and with characters outside of ASCII."""


class InvalidAddress(ValueError):
    """This is no e-mail address that can be used. The message is a sentence for its owner."""


def normal_form(address: str) -> str:
    """The normal form of an address to which mail can be sent. Makes no network request. Raises InvalidAddress."""
    _refuse_look_alikes(address)
    try:
        found = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise InvalidAddress(f"This is not a valid e-mail address: {str(error)[:200]}") from None
    normal = f"{_normal_local_part(found.local_part)}@{found.ascii_domain}"
    if len(normal) > MAX_LENGTH:
        raise InvalidAddress(f"An e-mail address must have at most {MAX_LENGTH} characters.")
    return normal


def mailbox(text: str) -> Address:
    """The display name and the normal form of the address in ``Name <address>``, or in an address alone.

    Raises InvalidAddress.
    """
    found = MAILBOX.fullmatch(text)
    if found is None:
        raise InvalidAddress(
            "An e-mail address stands alone, or in angle brackets behind a name; "
            'a name with a comma or another mark stands in quotes: "Acme, Inc." <no-reply@acme.example>'
        )
    local, _, domain = normal_form(found["alone"] or found["address"]).rpartition("@")
    return Address(unquote(found["name"] or "").strip(), local, domain)


def comparison_keys(address: str) -> list[str]:
    """What the key of a stored address may be if it is the same as this one. Raises InvalidAddress.

    The key of a stored address is its NFKC with ASCII letters in lower case. It may have been stored by hand or by an
    older release: with a domain in Unicode, or with capitals outside of ASCII. Also accepts the domain of a private
    network, such as ``ada@corp.local``.
    """
    _refuse_look_alikes(address)
    local, at, domain = address.rpartition("@")
    if not (local and at and domain and address.isprintable() and " " not in address and len(address) <= MAX_LENGTH):
        raise InvalidAddress("This is not a valid e-mail address.")
    locals_ = {_normal_local_part(local), unicodedata.normalize("NFKC", local)}
    return sorted({f"{_ascii_lower(one)}@{other}" for one in locals_ for other in _spellings_of_domain(domain)})


def ascii_domain(domain: str) -> str:
    """The domain in A-labels. Raises InvalidAddress."""
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode()
    except UnicodeError:
        raise InvalidAddress("The domain of the e-mail address is not valid.") from None


def fold(text: str) -> str:
    """The text without the difference of capitals, such that no other character becomes an ASCII letter.

    Otherwise the owner of an address with a look-alike, such as the Kelvin sign for k, would own both addresses.
    """
    folded = "".join(map(_fold_character, unicodedata.normalize("NFKC", text)))
    return unicodedata.normalize("NFKC", folded)


def _fold_character(character: str) -> str:
    folded = character.casefold()
    return folded if character.isascii() or not _has_ascii(folded) else character


def _normal_local_part(local: str) -> str:
    return local if local.isascii() else fold(local)


def _spellings_of_domain(domain: str) -> set[str]:
    in_ascii = ascii_domain(domain).lower()
    try:
        return {in_ascii, _ascii_lower(unicodedata.normalize("NFKC", idna.decode(in_ascii, uts46=True)))}
    except UnicodeError:
        return {in_ascii}


def _refuse_look_alikes(address: str) -> None:
    """Refuse characters that some systems take for ASCII ones: they compare or store addresses in another form."""
    for character in address:
        if not character.isascii() and _has_ascii(unicodedata.normalize("NFKC", character)):
            plain = unicodedata.normalize("NFKC", character)
            name = unicodedata.name(character, "without a name")
            raise InvalidAddress(
                f"An e-mail address must not contain U+{ord(character):04X} ({name}), which looks like {plain!r}: "
                "write it in plain letters."
            )


def _ascii_lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def _has_ascii(text: str) -> bool:
    return any(character.isascii() for character in text)
