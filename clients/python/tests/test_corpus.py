"""How often the verdicts of the client are right, over the whole corpus."""

from __future__ import annotations

import pytest
from corpus import CASES, FILL, Base
from sqlalchemy import create_engine, text

LEAST_CASES = 80
LEAST_RECALL = 0.95


@pytest.fixture(scope="module", autouse=True)
def tables(postgres):
    engine = create_engine(f"postgresql+psycopg2://postgres@/postgres?host={postgres}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for statement in FILL:
            connection.execute(text(statement))
    yield
    Base.metadata.drop_all(engine)
    engine.dispose()


def found(engine, case):
    ledger = engine.pool._poolwatch.ledger
    before = ledger.n_plus_one, ledger.unpaginated
    case.run(engine)
    grown = ledger.n_plus_one > before[0], ledger.unpaginated > before[1]
    return {kind for kind, grew in zip(("n_plus_one", "unpaginated"), grown) if grew}


def test_verdicts_are_right(engine):
    verdicts = [(case, found(engine, case)) for case in CASES]
    false_alarms = [(c.name, kind) for c, kinds in verdicts for kind in kinds - c.label]
    missed = [(c.name, kind) for c, kinds in verdicts for kind in c.label - kinds]
    right = sum(len(kinds & case.label) for case, kinds in verdicts)
    print(f"{len(CASES)} cases: {right} found, missed {missed}, false alarms {false_alarms}")
    assert len(CASES) >= LEAST_CASES
    assert false_alarms == []
    assert right / (right + len(missed)) >= LEAST_RECALL, missed


def test_the_corpus_has_no_name_twice():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
