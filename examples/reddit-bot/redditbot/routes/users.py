"""Users, each with the client they work for."""

from typing import Any

from flask import Blueprint
from sqlalchemy import select

from redditbot.models import User
from redditbot.routes.listing import counted, listed
from redditbot.session import SessionLocal

routes = Blueprint("users", __name__, url_prefix="/api/users")


@routes.get("")
def list_users() -> dict[str, Any]:
    query = select(User).order_by(User.id)
    with SessionLocal() as session:
        return {"users": [described(user) for user in listed(session, query, User.client)]}


@routes.get("/count")
def count_users() -> dict[str, int]:
    with SessionLocal() as session:
        return {"count": counted(session, User)}


def described(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "full_name": user.full_name,
        "client": {"id": user.client.id, "name": user.client.name},
    }
