"""Putting a wrapper on one object's method, and taking it off again."""

from __future__ import annotations

from typing import Any, Callable

# Where an object keeps what each wrapped name was before: what its class has, if it is not there.
_BEFORE = "_poolwatch_before"


def wrap(target: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replaces the method by what `make` makes of it."""
    own = target.__dict__.get(name)
    made = make(getattr(target, name))
    setattr(target, name, made)
    target.__dict__.setdefault(_BEFORE, {})[name] = (made, own)


def unwrap(target: Any) -> None:
    """A method that somebody else has wrapped since is left as it is."""
    for name, (made, own) in target.__dict__.pop(_BEFORE, {}).items():
        if target.__dict__.get(name) is not made:
            continue
        if own is None:
            delattr(target, name)
        else:
            setattr(target, name, own)
