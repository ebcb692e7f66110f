"""Tasks of Celery, each judged as one, and reported when it ends."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from poolwatch.reporter import close_all, report_soon
from poolwatch.requests import request

_running: dict[str, AbstractContextManager[None]] = {}


def mark_celery_tasks() -> None:
    """Marks the tasks of every Celery application of this process."""
    from celery import signals  # noqa: PLC0415

    signals.task_prerun.connect(_begins, weak=False, dispatch_uid="poolwatch")
    signals.task_postrun.connect(_ends, weak=False, dispatch_uid="poolwatch")
    signals.worker_process_shutdown.connect(_process_ends, weak=False, dispatch_uid="poolwatch")


def _begins(task_id: str, task: Any = None, **_: Any) -> None:
    marked = request(getattr(task, "name", None))
    marked.__enter__()
    _running[task_id] = marked


def _ends(task_id: str, **_: Any) -> None:
    marked = _running.pop(task_id, None)
    if marked is not None:
        marked.__exit__(None, None, None)
    # Celery ends what is left of its processes with SIGTERM, which no finalizer sees.
    report_soon()


def _process_ends(**_: Any) -> None:
    close_all()
