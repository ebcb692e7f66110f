"""`rq worker --worker-class poolwatch.rq.Worker`: each job is judged as one."""

from __future__ import annotations

from typing import Any

import rq

from poolwatch.requests import request


class Worker(rq.Worker):
    def perform_job(self, *words: Any, **named: Any) -> Any:
        with request():
            return super().perform_job(*words, **named)
