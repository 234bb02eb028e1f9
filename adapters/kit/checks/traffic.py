"""A host name has one holder at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.kit.case import Case
from provisioning.ports import Refused


def test_a_name_that_another_tenant_holds_is_refused(case: Case) -> None:
    """Two tenants at one address, or one that waits in vain for the other."""
    holder = case.fresh()
    rival = case.fresh(holder.address)
    case.create(holder)

    with pytest.raises(Refused):
        case.create(rival)

    assert case.present(holder) == case.names(holder)
    assert case.present(rival) == []


def test_releasing_a_name_that_another_holds_leaves_it_there(case: Case) -> None:
    """The undo of the one who came second takes the name from the one who has it."""
    holder = case.fresh()
    rival = case.fresh(holder.address)
    case.create(holder)

    case.destroy(rival)

    assert case.present(holder) == case.names(holder)


def test_of_many_at_once_one_gets_the_name(case: Case) -> None:
    """Looking whether a name is free and taking it are two steps."""
    first = case.fresh()
    rivals = [first, *(case.fresh(first.address) for _ in range(5))]

    with ThreadPoolExecutor(6) as pool:
        attempts = [pool.submit(case.create, rival) for rival in rivals]
        refusals = [attempt.exception(case.subject.within) for attempt in attempts]

    assert [type(refusal) for refusal in refusals if refusal is not None] == [Refused] * 5
    assert sum(len(case.present(rival)) for rival in rivals) == 1
