"""A throwaway PostgreSQL on a Unix socket in a temporary folder."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2


@contextmanager
def cluster() -> Iterator[str]:
    """The folder of its socket."""
    folder = tempfile.mkdtemp(prefix="pw-")
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    try:
        _run("initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "--no-sync")
        server = _start(folder)
        try:
            _wait_until_it_answers(folder, server)
            yield folder
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=120)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: str) -> subprocess.Popen[bytes]:
    settings = ("listen_addresses=", "fsync=off", "max_connections=200", "ssl=off")
    options = [word for setting in settings for word in ("-c", setting)]
    command = _command("postgres", "-D", f"{folder}/data", "-k", folder, *options)
    with open(f"{folder}/log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd="/")


def _run(*words: str) -> None:
    subprocess.run(_command(*words), check=True, stdout=subprocess.DEVNULL, cwd="/")


def _command(program: str, *words: str) -> list[str]:
    path = shutil.which(program) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"))
    unprivileged = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return [*(unprivileged if os.geteuid() == 0 else []), path, *words]


def _wait_until_it_answers(folder: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            psycopg2.connect(host=folder, user="postgres", dbname="postgres").close()
            return
        except psycopg2.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
