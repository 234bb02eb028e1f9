"""The resources of one run are independent of other runs and other tenants."""

from adapters.kit.check_context import CheckContext


def test_the_next_run_of_a_tenant_can_create_its_resources(context: CheckContext) -> None:
    """A tombstone or a leftover of one run prevents the next run."""
    first = context.new_names()
    second = context.next_run(first)
    context.create(first)
    context.destroy(first)

    context.create(second)

    assert context.present(second) == context.ledger_names(second)
    assert context.present(first) == []


def test_a_late_undo_leaves_the_next_run_alone(context: CheckContext) -> None:
    """A repeated or late undo of an old run destroys what a newer run created."""
    first = context.new_names()
    second = context.next_run(first)
    context.destroy(first)
    context.create(second)

    context.destroy(first)

    assert context.present(second) == context.ledger_names(second)


def test_a_recreated_tenant_is_another_tenant(context: CheckContext) -> None:
    """The names do not contain the tenant's tag: a new tenant at the same address counts its runs from 1 again."""
    before = context.new_names()
    after = context.new_names(before.address)
    context.create(before)
    context.destroy(before)

    context.create(after)

    assert context.present(after) == context.ledger_names(after)


def test_destroying_one_tenant_leaves_the_others(context: CheckContext) -> None:
    """Destroying affects more than the names of its run."""
    one, other = context.new_names(), context.new_names()
    context.create(one)
    context.create(other)

    context.destroy(one)

    assert context.present(one) == []
    assert context.present(other) == context.ledger_names(other)
