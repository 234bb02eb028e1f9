"""The names of the product's environment variables: which of them are settings, and which only look like one."""

import re
from collections.abc import Collection, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

PREFIX = "TENANTRY_"

FROM_KUBERNETES = re.compile(
    r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*|(.+_)?PORT=\w+://.*",
    re.DOTALL,
)
"""Variables, without the prefix, that Kubernetes sets in each container beside a service tenantry or tenantry-…"""

FOR_TESTS = re.compile(r"TEST_.+|CONFORMANCE")

NOT_IN_NAMES = re.compile(r"[^A-Z0-9]")

SAME_PREFIX = 0.87
"""The similarity of a misspelt prefix, such as TENANTY. Another word, such as TENANT, is less similar."""


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def unknown_variable(environment: Mapping[str, str], known: Collection[str]) -> str | None:
    """A sentence about the first variable that names no setting and looks like one: it would have no effect."""
    for variable, value in sorted(environment.items()):
        if variable in known:
            continue
        name = variable.upper().removeprefix(PREFIX)
        if name == variable.upper():
            meant = _meant_without_our_prefix(variable, known)
            if meant:
                return _sentence(variable, meant)
        elif not (FOR_TESTS.fullmatch(name) or FROM_KUBERNETES.fullmatch(f"{name}={value}")):
            return _sentence(variable, _nearest(name, known))
    return None


def misspelling_of(variable: str, environment: Mapping[str, str], known: Collection[str]) -> str | None:
    """A variable of the environment that could be meant as this one."""
    others = [one for one in environment if one not in known]
    return next(iter(get_close_matches(variable, others, 1, 0.9)), None)


def _sentence(variable: str, meant: str | None) -> str:
    suggestion = f": did you mean {meant}?" if meant else "."
    return f"There is no setting {variable}{suggestion} Correct or unset it; docs/operating.md lists the settings."


def _nearest(name: str, known: Collection[str]) -> str | None:
    found = get_close_matches(name, [one.removeprefix(PREFIX) for one in known], 1)
    return f"{PREFIX}{found[0]}" if found else None


def _meant_without_our_prefix(variable: str, known: Collection[str]) -> str | None:
    """The setting with the same letters, such as TENANTRY-LEASE, or the same name behind a misspelt prefix."""
    written = variable.upper()
    letters = _letters(written)
    for one in known:
        if letters == _letters(one):
            return one
        ending = one.removeprefix(PREFIX.rstrip("_"))
        if written.endswith(ending) and _is_our_prefix(written.removesuffix(ending)):
            return one
    if letters.startswith(PREFIX.rstrip("_")):
        found = get_close_matches(letters, map(_letters, known), 1, 0.9)
        return next((one for one in known if [_letters(one)] == found), None)
    return None


@lru_cache(1000)
def _letters(name: str) -> str:
    return NOT_IN_NAMES.sub("", name)


def _is_our_prefix(written: str) -> bool:
    ours = PREFIX.rstrip("_")
    return abs(len(written) - len(ours)) <= 1 and SequenceMatcher(None, written, ours).ratio() >= SAME_PREFIX
