"""`rq worker --worker-class poolwatch.rq.Worker`: each job is judged as one."""

from __future__ import annotations

from typing import Any

import rq

from poolwatch.requests import request


class Worker(rq.Worker):
    def perform_job(self, job: Any, *words: Any, **named: Any) -> Any:
        with request(find=lambda: str(job.func_name)):
            return super().perform_job(job, *words, **named)
