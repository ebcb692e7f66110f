from __future__ import annotations

import pytest

from poolwatch.statement_text import LONGEST, is_select, is_unlimited_select, shown


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a FROM t WHERE b = %(b_1)s", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a FROM t WHERE b = %(b_1)s::INTEGER", "SELECT a FROM t WHERE b = ?"),
        (
            "SELECT a FROM t WHERE b = $1::VARCHAR AND c = $2",
            "SELECT a FROM t WHERE b = ? AND c = ?",
        ),
        (
            "SELECT a FROM t WHERE b = :b AND c::text = 'x'",
            "SELECT a FROM t WHERE b = ? AND c::text = ?",
        ),
        ("SELECT 'it''s', E'a\\'b', 12, 1.5e3", "SELECT ?, ?, ?, ?"),
        ("SELECT $$secret$$, $tag$ it's $tag$", "SELECT ?, ?"),
        ("SELECT a -- secret\nFROM t /* secret */", "SELECT a FROM t"),
        ('SELECT "it\'s 5", t1.c2 FROM t1', 'SELECT "it\'s 5", t1.c2 FROM t1'),
        ("SELECT a FROM t WHERE b IN (1, 2, 3)", "SELECT a FROM t WHERE b IN (?)"),
        ("SELECT a FROM t WHERE b = 'cut off", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a,\n       b\nFROM t", "SELECT a, b FROM t"),
    ],
)
def test_a_statement_is_shown_without_literals(statement, expected):
    assert shown(statement) == expected


def test_a_long_list_of_columns_is_shortened():
    columns = ", ".join(f"posts.column_{n}" for n in range(20))
    assert shown(f"SELECT {columns} FROM posts") == "SELECT … FROM posts"


def test_a_long_statement_is_cut():
    assert len(shown("SELECT a FROM " + "t, " * 5000)) == LONGEST


def test_the_limit_of_a_long_statement_is_seen():
    long = "SELECT a FROM t WHERE b IN (" + "1, " * 50_000 + "1)"
    assert is_unlimited_select(long)
    assert not is_unlimited_select(long + " LIMIT 10")


def test_a_literal_cut_in_half_is_still_hidden():
    assert "secret" not in shown("SELECT '" + "secret" * 5000 + "'")


@pytest.mark.parametrize(
    "statement", ["select 1", " SELECT 1", "WITH a AS (SELECT 1) SELECT 2", "(select 1)"]
)
def test_a_select_is_known(statement):
    assert is_select(statement)


@pytest.mark.parametrize(
    "statement",
    ["update t set a = 1", "WITH a AS (DELETE FROM t RETURNING *) SELECT 1", "SHOW x", ""],
)
def test_a_write_is_no_select(statement):
    assert not is_select(statement)


def test_a_limit_within_a_literal_is_none():
    assert is_unlimited_select("SELECT 'LIMIT' FROM t")
    assert not is_unlimited_select("SELECT a FROM t LIMIT 5")
