"""What one run takes and undoes is no other run's and no other tenant's."""

from adapters.kit.case import Case


def test_the_next_run_of_the_same_tenant_starts_afresh(case: Case) -> None:
    """A tombstone or a remnant of one attempt stands in the way of the next."""
    first = case.fresh()
    second = case.next_run(first)
    case.create(first)
    case.destroy(first)

    case.create(second)

    assert case.present(second) == case.names(second)
    assert case.present(first) == []


def test_a_late_undo_leaves_the_next_run_alone(case: Case) -> None:
    """An undo that is repeated, or looks again a day later, takes away what a newer attempt has made."""
    first = case.fresh()
    second = case.next_run(first)
    case.destroy(first)
    case.create(second)

    case.destroy(first)

    assert case.present(second) == case.names(second)


def test_a_recreated_tenant_is_another_tenant(case: Case) -> None:
    """Names leave out the tenant's tag: a new tenant at the same address counts its runs from 1 again."""
    before = case.fresh()
    after = case.fresh(before.address)
    case.create(before)
    case.destroy(before)

    case.create(after)

    assert case.present(after) == case.names(after)


def test_destroying_one_tenant_leaves_the_others(case: Case) -> None:
    """It destroys by something wider than the names of its run."""
    one, other = case.fresh(), case.fresh()
    case.create(one)
    case.create(other)

    case.destroy(one)

    assert case.present(one) == []
    assert case.present(other) == case.names(other)
