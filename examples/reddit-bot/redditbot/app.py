"""The application: `gunicorn --config gunicorn.conf.py redditbot.app:application`."""

import logging
import os
from typing import Any

# Before anything else is imported: the pool asks at import whether anybody reads its events.
logging.basicConfig(
    level=os.environ.get("LOG_LEVEL", "INFO").upper(),
    format="%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s",
)

from flask import Flask, Response
from sqlalchemy.exc import OperationalError, TimeoutError
from werkzeug.exceptions import HTTPException

from redditbot import health, troubles, workers
from redditbot.routes import analytics, configs, posts, responses, users

logger = logging.getLogger(__name__)


def create_application() -> Flask:
    application = Flask(__name__)
    application.json.sort_keys = False  # type: ignore[attr-defined]
    for part in (posts, responses, users, configs, analytics, health, troubles, workers):
        application.register_blueprint(part.routes)
    application.register_error_handler(HTTPException, refused)
    application.register_error_handler(TimeoutError, no_connection)
    application.register_error_handler(OperationalError, no_connection)
    application.after_request(name_worker)
    mark_requests(application)
    return application


def mark_requests(application: Flask) -> None:
    """Tells poolwatch by which route connections are held, where its client is installed."""
    try:
        import poolwatch  # noqa: PLC0415
    except ImportError:
        return
    application.wsgi_app = poolwatch.WSGIMiddleware(application.wsgi_app)  # type: ignore[method-assign]


def refused(error: HTTPException) -> tuple[dict[str, Any], int]:
    return {"message": error.description}, error.code or 500


def no_connection(error: Exception) -> tuple[dict[str, str], int]:
    """The pool had no connection in time, or the database refused or gave up."""
    logger.warning("%s", str(error).splitlines()[0])
    return {"message": "the database is not available right now"}, 503


def name_worker(response: Response) -> Response:
    response.headers["X-Worker-Pid"] = str(os.getpid())
    return response


application = create_application()
