"""What the bot looks for, each with the client it looks for."""

from typing import Any

from flask import Blueprint
from sqlalchemy import select

from redditbot.models import Config
from redditbot.routes.listing import counted, listed
from redditbot.session import SessionLocal

routes = Blueprint("configs", __name__, url_prefix="/api/configs")


@routes.get("")
def list_configs() -> dict[str, Any]:
    query = select(Config).order_by(Config.id)
    with SessionLocal() as session:
        return {"configs": [described(config) for config in listed(session, query, Config.client)]}


@routes.get("/count")
def count_configs() -> dict[str, int]:
    with SessionLocal() as session:
        return {"count": counted(session, Config)}


def described(config: Config) -> dict[str, Any]:
    return {
        "id": config.id,
        "subreddit": config.subreddit,
        "keywords": config.keywords,
        "tone": config.tone,
        "enabled": config.enabled,
        "client": {"id": config.client.id, "name": config.client.name},
    }
