"""A host name has one holder at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.kit.check_context import CheckContext
from provisioning.ports import Refused


def test_a_name_that_another_tenant_holds_is_refused(context: CheckContext) -> None:
    """Two tenants get one address, or the second is retried in vain."""
    holder = context.new_names()
    rival = context.new_names(holder.address)
    context.create(holder)

    with pytest.raises(Refused):
        context.create(rival)

    assert context.present(holder) == context.ledger_names(holder)
    assert context.present(rival) == []


def test_releasing_a_name_that_another_holds_leaves_it_there(context: CheckContext) -> None:
    """The undo of a refused reservation releases the name of its holder."""
    holder = context.new_names()
    rival = context.new_names(holder.address)
    context.create(holder)

    context.destroy(rival)

    assert context.present(holder) == context.ledger_names(holder)


def test_one_of_many_concurrent_reservations_succeeds(context: CheckContext) -> None:
    """Checking whether a name is free and reserving it are not atomic."""
    first = context.new_names()
    rivals = [first, *(context.new_names(first.address) for _ in range(5))]

    with ThreadPoolExecutor(6) as pool:
        attempts = [pool.submit(context.create, rival) for rival in rivals]
        refusals = [attempt.exception(context.subject.within) for attempt in attempts]

    assert [type(refusal) for refusal in refusals if refusal is not None] == [Refused] * 5
    assert sum(len(context.present(rival)) for rival in rivals) == 1
