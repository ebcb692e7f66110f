"""What a type checker says to somebody who uses the client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import VERSION

pytestmark = [pytest.mark.servers, pytest.mark.skipif(VERSION < (2, 0), reason="1.4 has no types")]
RIGHT = """
import asyncpg
import psycopg2.pool
import psycopg_pool
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import poolwatch

engine: Engine = poolwatch.watch(create_engine("sqlite://"), pool="web")
other: AsyncEngine = poolwatch.unwatch(create_async_engine("sqlite+aiosqlite://"))
pool: psycopg_pool.ConnectionPool = poolwatch.watch(psycopg_pool.ConnectionPool())
waiting: psycopg_pool.AsyncConnectionPool = poolwatch.watch(psycopg_pool.AsyncConnectionPool())
poolwatch.watch(psycopg2.pool.SimpleConnectionPool(1, 2))
poolwatch.watch(asyncpg.create_pool())
"""
WRONG = ["poolwatch.watch(42)", "poolwatch.watch('web')", "poolwatch.watch(None)"]


def mypy(folder: Path, program: str) -> str:
    (folder / "program.py").write_text(program)
    (folder / "mypy.ini").write_text("[mypy-asyncpg.*,psycopg2.*]\nignore_missing_imports = True\n")
    command = [sys.executable, "-m", "mypy", "--strict", "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_what_can_be_watched_keeps_its_type(tmp_path):
    assert "Success" in mypy(tmp_path, RIGHT)


def test_what_cannot_be_watched_is_refused(tmp_path):
    said = mypy(tmp_path, "import poolwatch\n" + "\n".join(WRONG) + "\n")
    assert said.count("error:") == said.count("[type-var]") == len(WRONG)
