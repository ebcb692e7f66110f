from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest


def check(path, *module, cwd=None, **environment):
    its = {"POOLWATCH_SOCKET": str(path), "PATH": os.environ["PATH"], **environment}
    if "PYTHONPATH" in os.environ:
        its["PYTHONPATH"] = os.environ["PYTHONPATH"]
    command = [sys.executable, "-m", "poolwatch", "check", *module]
    done = subprocess.run(command, env=its, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_sidecar_that_hears_is_told(receiver):
    status, lines = check(receiver.path, POOLWATCH_POOL="web")
    assert (status, lines.count("✓"), "'web'" in lines) == (0, 3, True)
    report = receiver.wait_for(lambda reports: reports[-1:])[0]
    assert (report["bye"], report["pools"]) == (True, [])


def test_what_is_wrong_is_told_with_its_remedy(tmp_path):
    status, lines = check(tmp_path / "absent.sock")
    assert (status, "start poolwatch" in lines) == (1, True)
    (tmp_path / "file").touch()
    assert "is no socket" in check(tmp_path / "file")[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ended:
        ended.bind(str(tmp_path / "ended.sock"))
    assert "nobody listens" in check(tmp_path / "ended.sock")[1]


@pytest.mark.parametrize("url", ["postgresql:///app", "postgresql:///app?plugin=poolwatch"])
def test_a_url_without_the_plugin_is_pointed_out(receiver, url):
    status, lines = check(receiver.path, DATABASE_URL=url)
    assert (status, "!" in lines) == (0, "plugin" not in url)


def test_the_pools_of_an_application_are_listed(receiver, url, tmp_path):
    (tmp_path / "shop.py").write_text(f"""
import poolwatch
from sqlalchemy import create_engine
poolwatch.watch(create_engine({url("psycopg2")!r}, pool_size=3, max_overflow=4), pool="web")
engine = poolwatch.watch(create_engine({url("psycopg2")!r}, max_overflow=-1), pool="jobs")
""")
    (tmp_path / "bare.py").write_text("")
    status, lines = check(receiver.path, "shop", cwd=tmp_path)
    assert (status, "pool 'web', size 3, max overflow 4" in lines) == (0, True)
    assert "pool 'jobs', size 5, no limit" in lines
    status, lines = check(receiver.path, "bare", cwd=tmp_path)
    assert (status, "bare watches no pool" in lines) == (1, True)
    status, lines = check(receiver.path, "absent", cwd=tmp_path)
    assert (status, "absent cannot be imported" in lines) == (1, True)
