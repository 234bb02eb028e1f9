"""A document is measured as it would be executed, in a time that does not grow with the result."""

import time

import pytest
from graphql import parse

from server.limits.document_metrics import OperationMetrics, measure_document

DOUBLING = "query { ...F0 } " + " ".join(
    f"fragment F{number} on Query {{ a{number}: viewer {{ scopes }} ...F{number + 1} ...F{number + 1} }}"
    for number in range(60)
)
"""Sixty fragments, each spread twice by the previous one: 2^60 fields."""


@pytest.mark.parametrize(
    ("document", "metrics"),
    [
        ("{ a }", OperationMetrics(depth=1, fields=1)),
        ("{ a { b { c } } d }", OperationMetrics(depth=3, fields=4)),
        ("{ x: a { y: b } }", OperationMetrics(depth=2, fields=2, aliases=2)),
        ("query @q { a @one @two { b @three } }", OperationMetrics(depth=2, fields=2, directives=4)),
        ("{ ... @one { a } ...F @two } fragment F on Q { b { c } }", OperationMetrics(depth=2, fields=3, directives=2)),
        ("{ ...F ...F } fragment F on Q { x: a }", OperationMetrics(depth=1, fields=2, aliases=2)),
        ("{ a { b } a { b } x: a { b b } c c }", OperationMetrics(depth=2, fields=9, aliases=1, repeats=1)),
        ("{ ...F ...F } fragment F on Q { a { b } a { b } }", OperationMetrics(depth=2, fields=8, repeats=2)),
        ("{ ...F } fragment F on Q { a ...F }", OperationMetrics(depth=1, fields=1)),
        ("{ a ...Missing }", OperationMetrics(depth=1, fields=1)),
        ("{ a } fragment Unused on Q { a { b { c { d } } } }", OperationMetrics(depth=4, fields=4)),
    ],
)
def test_a_document_has_the_size_that_its_execution_would_visit(document: str, metrics: OperationMetrics) -> None:
    assert measure_document(parse(document)).data == metrics


def test_a_document_is_as_large_as_its_largest_operation() -> None:
    found = measure_document(parse("query A($a: Int, $b: Int) { a b } query B($a: Int) { a { b { c } } }"))

    assert (found.operations, found.variables, found.root_fields) == (2, 2, 2)
    assert found.data.depth == 3


def test_root_fields_are_counted_through_fragments() -> None:
    assert measure_document(parse("{ a ...F ... { b } } fragment F on Q { c d { e } }")).root_fields == 4


def test_introspection_fields_are_counted_separately() -> None:
    found = measure_document(
        parse("{ a { b } __schema { types { fields { name } } } ...F } fragment F on Q { __type { x } }")
    )

    assert found.data == OperationMetrics(depth=2, fields=2)
    assert found.introspection == OperationMetrics(depth=4, fields=6)
    assert found.has_introspection


def test_typename_is_not_introspection() -> None:
    assert not measure_document(parse("{ __typename a { __typename } }")).has_introspection


def test_fragments_that_double_sixty_times_are_measured_quickly() -> None:
    document = parse(DOUBLING)
    began = time.thread_time()  # of this thread alone, however busy the machine is

    found = measure_document(document)

    assert time.thread_time() - began < 0.1
    assert found.data.fields == 2 * (2**60 - 1)
    assert found.root_fields == 2**60 - 1
