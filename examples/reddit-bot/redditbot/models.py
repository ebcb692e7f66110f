"""The tables, and the nine composite indexes their queries need."""

from datetime import datetime

from sqlalchemy import DateTime, Float, ForeignKey, Index, String, Text, UniqueConstraint, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Client(Base):
    """A customer, on whose behalf the bot reads and answers."""

    __tablename__ = "clients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class User(Base):
    """Somebody who works for a client and reviews its answers."""

    __tablename__ = "users"
    # A unique constraint, rather than a tenth index, also serves the foreign key.
    __table_args__ = (UniqueConstraint("client_id", "email"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    email: Mapped[str] = mapped_column(String(200))
    full_name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    client: Mapped[Client] = relationship()


class Config(Base):
    """What the bot looks for in one subreddit, and how it answers there."""

    __tablename__ = "configs"
    __table_args__ = (UniqueConstraint("client_id", "subreddit"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    subreddit: Mapped[str] = mapped_column(String(50))
    keywords: Mapped[str] = mapped_column(Text)
    tone: Mapped[str] = mapped_column(String(20))
    enabled: Mapped[bool] = mapped_column(default=True)

    client: Mapped[Client] = relationship()


class MatchedPost(Base):
    """A post on Reddit that matched a client's keywords."""

    __tablename__ = "matched_posts"
    __table_args__ = (
        Index("idx_client_created", "client_id", "created_at"),
        Index("idx_client_reviewed", "client_id", "reviewed"),
        Index("idx_subreddit_created", "subreddit", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    subreddit: Mapped[str] = mapped_column(String(50))
    title: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)
    reviewed: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    responses: Mapped[list["AIResponse"]] = relationship(back_populates="post")


class AIResponse(Base):
    """An answer drafted for a post, with the score of its quality from 0 to 1."""

    __tablename__ = "ai_responses"
    __table_args__ = (
        Index("idx_responses_post_client", "post_id", "client_id"),
        Index("idx_responses_client_created", "client_id", "created_at"),
        Index("idx_responses_quality_score", "score"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column(ForeignKey("matched_posts.id"))
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    content: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    post: Mapped[MatchedPost] = relationship(back_populates="responses")


class AnalyticsEvent(Base):
    """Something that happened, kept to be counted."""

    __tablename__ = "analytics_events"
    __table_args__ = (
        Index("idx_analytics_client_date", "client_id", "created_at"),
        Index("idx_analytics_client_event", "client_id", "event_type"),
        Index("idx_analytics_event_date", "event_type", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("clients.id"))
    event_type: Mapped[str] = mapped_column(String(50))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


INDEXES = {
    str(index.name): index for table in Base.metadata.sorted_tables for index in table.indexes
}
