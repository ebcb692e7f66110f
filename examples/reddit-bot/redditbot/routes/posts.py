"""Matched posts with the responses drafted for them."""

from typing import Any

from flask import Blueprint, request
from sqlalchemy import select, update

from redditbot.models import MatchedPost
from redditbot.parameters import client_id, days_ago, whole_number, yes_or_no
from redditbot.routes.listing import counted, listed
from redditbot.session import SessionLocal

routes = Blueprint("posts", __name__, url_prefix="/api/posts")


@routes.get("")
def list_posts() -> dict[str, Any]:
    query = select(MatchedPost).order_by(MatchedPost.id)
    with SessionLocal() as session:
        return {
            "posts": [described(post) for post in listed(session, query, MatchedPost.responses)]
        }


@routes.get("/count")
def count_posts() -> dict[str, int]:
    with SessionLocal() as session:
        return {"count": counted(session, MatchedPost)}


@routes.get("/of-client")
def posts_of_client() -> dict[str, Any]:
    """A client's newest posts (idx_client_created), or by review (idx_client_reviewed)."""
    query = (
        select(MatchedPost.id, MatchedPost.title)
        .where(MatchedPost.client_id == client_id())
        .limit(limit())
    )
    reviewed = yes_or_no("reviewed")
    if reviewed is None:
        query = query.where(MatchedPost.created_at >= days_ago(7)).order_by(
            MatchedPost.created_at.desc()
        )
    else:
        query = query.where(MatchedPost.reviewed == reviewed)
    return titles(query)


@routes.get("/of-subreddit")
def posts_of_subreddit() -> dict[str, Any]:
    """A subreddit's newest posts (idx_subreddit_created)."""
    newest = MatchedPost.created_at.desc()
    query = select(MatchedPost.id, MatchedPost.title).order_by(newest).limit(limit())
    return titles(query.where(MatchedPost.subreddit == request.args.get("subreddit", "postgresql")))


@routes.post("/review")
def review_post() -> dict[str, int]:
    """Says of a post whether its answers were reviewed."""
    reviewed = yes_or_no("reviewed") is not False
    query = update(MatchedPost).where(MatchedPost.id == whole_number("post_id", 1, 1, 2**31 - 1))
    with SessionLocal.begin() as session:
        # No object in the session is of this post.
        query = query.execution_options(synchronize_session=False)
        return {"changed": session.execute(query.values(reviewed=reviewed)).rowcount}


def titles(query: Any) -> dict[str, Any]:
    with SessionLocal() as session:
        return {"posts": [{"id": post.id, "title": post.title} for post in session.execute(query)]}


def limit() -> int:
    return whole_number("limit", 20, 1, 100)


def described(post: MatchedPost) -> dict[str, Any]:
    return {
        "id": post.id,
        "client_id": post.client_id,
        "subreddit": post.subreddit,
        "title": post.title,
        "reviewed": post.reviewed,
        "created_at": post.created_at.isoformat(),
        "responses": [{"id": response.id, "score": response.score} for response in post.responses],
    }
