"""Four workers, each with a pool of its own, forked from one loaded application."""

import os
import shutil
import sys
import tempfile

from gunicorn.sock import UnixSocket

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import contextlib
import glob

from redditbot.workers import socket_path

wsgi_app = "redditbot.app:application"
# Addresses by comma: HOST:PORT, unix:/absolute/path, or fd://NUMBER for a socket passed in.
bind = os.environ.get("BIND", "127.0.0.1:8000").split(",")
# Set where it was not, because the application also says how many there are to be.
workers = int(os.environ.setdefault("WORKERS", "4"))
# More than a pool's 20 connections, so that callers can wait for one while health still answers.
threads = int(os.environ.get("THREADS", 24))
worker_class = "gthread"
preload_app = True
loglevel = os.environ.get("LOG_LEVEL", "INFO").lower()
timeout = 30
# Whoever holds a connection when the application is stopped is not waited for long.
graceful_timeout = 3

own_run_dir = "RUN_DIR" not in os.environ
if own_run_dir:
    os.environ["RUN_DIR"] = tempfile.mkdtemp(prefix="reddit-bot-")
run_dir = os.environ["RUN_DIR"]
os.makedirs(run_dir, exist_ok=True)
pidfile = os.path.join(run_dir, "gunicorn.pid")


def on_starting(server):
    # Left behind when the whole application was killed.
    remove_sockets()


def when_ready(server):
    server.log.info("Workers also listen below %s", run_dir)


def post_fork(server, worker):
    from redditbot.session import forget_inherited_connections

    forget_inherited_connections()


def post_worker_init(worker):
    # A new list: the old one is the listeners that all workers share.
    own = UnixSocket(socket_path(run_dir, worker.pid), worker.cfg, worker.log)
    worker.sockets = [*worker.sockets, own]


def remove_sockets():
    for path in glob.glob(socket_path(run_dir, "*")):
        os.unlink(path)


def child_exit(server, worker):
    # Here rather than in the worker, which may have been killed.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket_path(run_dir, worker.pid))


def on_exit(server):
    # Workers that did not leave in time are killed, and nobody is told of their exit.
    remove_sockets()
    if own_run_dir:
        shutil.rmtree(run_dir, ignore_errors=True)
