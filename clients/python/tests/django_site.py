"""A Django site in one file, with its truth in memory shared by the workers."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from truth import Truth

OPTIONS = {"pool": {"min_size": 1, "max_size": 4}} if os.environ.get("POOLED") else {}
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": os.environ["DATABASE_HOST"],
            "CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "0")),
            "OPTIONS": OPTIONS,
        }
    },
    INSTALLED_APPS=["poolwatch.django"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import DatabaseError, connection, models, transaction  # noqa: E402

truth = Truth(os.environ["TRUTH"])


class Author(models.Model):
    name = models.TextField()

    class Meta:
        app_label = "blog"


class Post(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)

    class Meta:
        app_label = "blog"


def make_tables() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Post)
    authors = Author.objects.bulk_create(Author(name=str(number)) for number in range(20))
    Post.objects.bulk_create(Post(author=author) for author in authors)


def work(_, number: int) -> HttpResponse:
    if number % 10 == 0:
        return fail()
    queries = 1 + number % 3
    with transaction.atomic(), connection.cursor() as cursor:
        for _ in range(queries):
            cursor.execute("select %s", [number])
    truth.add(checkouts=1, queries=queries, commits=1)
    return HttpResponse("ok")


def fail() -> HttpResponse:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1 / 0")
    except DatabaseError:
        truth.add(checkouts=1, queries=1, errors=1)
    return HttpResponse("ok")


def names(_) -> HttpResponse:
    return HttpResponse(",".join(post.author.name for post in Post.objects.all()))


urlpatterns = [path("names", names), path("<int:number>", work)]
application = get_wsgi_application()
asgi_application = get_asgi_application()
