"""What happened and how often: each query needs one of the three indexes of analytics_events."""

from typing import Any

from flask import Blueprint
from sqlalchemy import func, select

from redditbot.db import EVENT_TYPES
from redditbot.models import AnalyticsEvent
from redditbot.parameters import choice, client_id, days_ago
from redditbot.session import SessionLocal

routes = Blueprint("analytics", __name__, url_prefix="/api/analytics")


@routes.get("/daily")
def events_a_day() -> dict[str, Any]:
    """A client's events on each day (idx_analytics_client_date)."""
    day = func.date_trunc("day", AnalyticsEvent.created_at).label("day")
    query = select(day, func.count().label("events")).group_by(day).order_by(day)
    query = query.where(
        AnalyticsEvent.client_id == client_id(), AnalyticsEvent.created_at >= days_ago(7)
    )
    with SessionLocal() as session:
        return {
            "days": [
                {"day": row.day.date().isoformat(), "events": row.events}
                for row in session.execute(query)
            ]
        }


@routes.get("/client-events")
def events_of_client() -> dict[str, Any]:
    """How often one thing happened to a client (idx_analytics_client_event)."""
    query = select(func.count()).select_from(AnalyticsEvent)
    query = query.where(
        AnalyticsEvent.client_id == client_id(), AnalyticsEvent.event_type == event_type()
    )
    with SessionLocal() as session:
        return {"count": session.scalar(query)}


@routes.get("/recent")
def recent_events() -> dict[str, Any]:
    """How often one thing happened to anybody lately (idx_analytics_event_date)."""
    query = select(func.count(), func.max(AnalyticsEvent.created_at))
    query = query.where(
        AnalyticsEvent.event_type == event_type(), AnalyticsEvent.created_at >= days_ago(1)
    )
    with SessionLocal() as session:
        count, newest = session.execute(query).one()
        return {"count": count, "newest": newest.isoformat() if newest else None}


def event_type() -> str:
    return choice("event_type", list(EVENT_TYPES), "response_flagged")
