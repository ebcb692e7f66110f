"""Watching every engine that a process makes, with no change of its code or of its URL."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from poolwatch.attach import watch_automatically

MODULE = "sqlalchemy.engine.base"


def watch_engines() -> None:
    """Those made from now on. SQLAlchemy is not loaded before the application loads it."""
    loaded = sys.modules.get(MODULE)
    if loaded is not None:
        _watch_engines_of(loaded)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _watch_engines_of(module: Any) -> None:
    make = module.Engine.__init__
    if hasattr(make, "_poolwatch"):
        return

    @functools.wraps(make)
    def make_watched(self: Any, *words: Any, **named: Any) -> None:
        make(self, *words, **named)
        watch_automatically(self)

    make_watched._poolwatch = True  # type: ignore[attr-defined]
    module.Engine.__init__ = make_watched


class _Finder(MetaPathFinder):
    """Finds that one module as everybody else would."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, its: Loader) -> None:
        self._its = its

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._its.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever asks the module for its loader, as for its source, finds its own.
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._its
        self._its.exec_module(module)
        _watch_engines_of(module)
