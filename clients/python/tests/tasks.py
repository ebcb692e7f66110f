"""A Celery application, with its truth in memory shared by the workers."""

from __future__ import annotations

import os

from celery import Celery
from preloaded import engine, handle, look_up_one_by_one

import poolwatch

app = Celery("tasks", broker="filesystem://", backend=None)
app.conf.update(
    broker_transport_options={
        "data_folder_in": os.environ["QUEUE"],
        "data_folder_out": os.environ["QUEUE"],
        "control_folder": os.environ["QUEUE"] + "/control",
    },
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)
made_by = os.getpid()
poolwatch.mark_celery_tasks()


@app.task
def work(number: int) -> None:
    dispose_after_fork()
    handle(number)


@app.task
def look_up() -> None:
    dispose_after_fork()
    look_up_one_by_one()


def dispose_after_fork() -> None:
    global made_by
    if made_by != os.getpid():
        made_by = os.getpid()
        engine.dispose(close=False)
