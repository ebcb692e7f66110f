from __future__ import annotations

import os
import sysconfig

import pytest
import sqlalchemy

from poolwatch.source_line import source_line

LIBRARY = "/srv/venv/lib/python3.11/site-packages/library/orm.py"
STANDARD = os.path.join(sysconfig.get_paths()["stdlib"], "functools.py")
OWN = sqlalchemy.__file__
APPLICATION = os.path.join(os.getcwd(), "app", "posts.py")


def called_through(*files):
    """The line found from a call chain that runs through these files, the innermost last."""
    call = source_line
    for file in reversed(files):
        scope = {"call": call}
        exec(compile("def step():\n    return call()", file, "exec"), scope)
        call = scope["step"]
    return call()


@pytest.mark.parametrize("machinery", [LIBRARY, STANDARD, OWN, "<string>"])
def test_the_innermost_line_of_the_application_is_named(machinery):
    found = called_through(APPLICATION, machinery, machinery)
    assert found == f"app{os.sep}posts.py:2"


def test_an_application_elsewhere_is_named_by_the_end_of_its_path():
    assert called_through("/srv/blog/app/views/posts.py", OWN) == "app/views/posts.py:2"


def test_a_path_without_end_is_cut():
    assert len(called_through("/" + "long" * 100 + "/" + "name" * 100 + ".py")) < 130
