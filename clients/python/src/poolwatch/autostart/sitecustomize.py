"""Python runs this at its start, where `poolwatch-run` has put its folder on the path."""

import importlib.machinery
import importlib.util
import os
import sys

try:
    from poolwatch.automatic import watch_engines

    watch_engines()
except Exception as error:  # another interpreter than the one that has the client
    print(f"poolwatch-run: no engine of this process is watched: {error!r}", file=sys.stderr)


def _run_the_hidden_one() -> None:
    """This file hides another of its name, of the system or of the application."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [folder for folder in sys.path if os.path.abspath(folder) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_run_the_hidden_one()
