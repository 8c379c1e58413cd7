"""Expressions of templates: what they match is all of a text, and none takes long."""

import time

import pytest

from common.templates.patterns import matches_whole, pattern_problem


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("[a-z]{2}-[0-9]+", "eu-1", True),
        ("[a-z]{2}-[0-9]+", "eu-1\n", False),
        ("[a-z]{2}-[0-9]+", " eu-1", False),
        ("^eu$", "eu", True),
        ("(?m)^eu$", "eu\nus", False),
        ("a|b", "ab", False),
        ("a|b", "b", True),
        ("", "", True),
        ("", "x", False),
        (r"\p{L}+", "größe", True),
        (".", "\ud800", False),
    ],
)
def test_an_expression_matches_the_whole_text_or_not_at_all(pattern: str, text: str, matches: bool) -> None:
    assert pattern_problem(pattern) is None
    assert matches_whole(pattern, text) is matches


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("[", "unclosed character class"),
        ("a)|(b", "unopened group"),
        ("(?x)a #", "unclosed group"),
        ("(?=a)", "look-ahead and look-behind, is not supported"),
        (r"(a)\1", "backreferences are not supported"),
        ("a{9999}{9999}", "exceeds size limit"),
        ("*", "repetition operator missing expression"),
    ],
)
def test_what_is_no_expression_is_refused_with_a_reason(pattern: str, problem: str) -> None:
    found = pattern_problem(pattern)
    assert found is not None
    assert problem in found
    assert "\n" not in found


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*b", "a*a*a*a*a*b", "(a|aa)+b", "(.*)*x"])
def test_an_expression_that_makes_others_backtrack_for_ever_takes_no_time(pattern: str) -> None:
    assert pattern_problem(pattern) is None
    started = time.monotonic()
    assert not matches_whole(pattern, "a" * 10_000)
    assert time.monotonic() - started < 1
