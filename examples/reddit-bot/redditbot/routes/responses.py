"""Drafted answers and their quality."""

from typing import Any

from flask import Blueprint
from sqlalchemy import func, select

from redditbot.models import AIResponse
from redditbot.parameters import client_id, days_ago, whole_number
from redditbot.session import SessionLocal

routes = Blueprint("responses", __name__, url_prefix="/api/responses")


@routes.get("/best")
def best_responses() -> dict[str, Any]:
    """The answers of the highest score (idx_responses_quality_score)."""
    query = select(AIResponse.id, AIResponse.score).order_by(AIResponse.score.desc())
    with SessionLocal() as session:
        rows = session.execute(query.limit(whole_number("limit", 20, 1, 100)))
        return {"responses": [{"id": row.id, "score": row.score} for row in rows]}


@routes.get("/quality")
def quality_of_client() -> dict[str, Any]:
    """How good a client's answers were lately (idx_responses_client_created)."""
    query = select(func.count(), func.avg(AIResponse.score)).where(
        AIResponse.client_id == client_id(), AIResponse.created_at >= days_ago(7)
    )
    with SessionLocal() as session:
        count, average = session.execute(query).one()
        return {"count": count, "average_score": average}


@routes.get("/of-post")
def responses_of_post() -> dict[str, Any]:
    """What was drafted for one post (idx_responses_post_client)."""
    query = select(AIResponse.id, AIResponse.content).where(
        AIResponse.post_id == whole_number("post_id", 1, 1, 2**31 - 1)
    )
    with SessionLocal() as session:
        rows = session.execute(query.limit(100))
        return {"responses": [{"id": row.id, "content": row.content} for row in rows]}
