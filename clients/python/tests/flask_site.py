"""A Flask site, with its truth in memory shared by the workers."""

from __future__ import annotations

from flask import Flask
from preloaded import handle, look_up_one_by_one

import poolwatch

app = Flask(__name__)
app.wsgi_app = poolwatch.WSGIMiddleware(app.wsgi_app)


@app.get("/<int:number>")
def work(number: int) -> str:
    handle(number)
    return "ok"


@app.get("/names")
def names() -> str:
    look_up_one_by_one()
    return "ok"
