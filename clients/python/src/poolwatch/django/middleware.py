"""Each request is judged as one."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from django.utils.decorators import sync_and_async_middleware

from poolwatch.places import django_endpoint
from poolwatch.requests import request


@sync_and_async_middleware  # type: ignore[misc]
def mark_requests(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if inspect.iscoroutinefunction(get_response):

        async def marked_async(its: Any) -> Any:
            with request(find=lambda: django_endpoint(its)):
                return await get_response(its)

        return marked_async

    def marked(its: Any) -> Any:
        with request(find=lambda: django_endpoint(its)):
            return get_response(its)

    return marked
