"""Many trainings, a few at a time: processes of one thread each, with the same result as one after the other."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from typing import TypeVar

from tqdm import tqdm

from ..train.fit import use_one_thread

T = TypeVar("T")
R = TypeVar("R")


def map_tasks(function: Callable[[T], R], tasks: Sequence[T], workers: int, what: str) -> list[R]:
    """``[function(task) for task in tasks]`` with a progress bar; ``function`` lives at the top of a module.

    Results come in the order of the tasks, and each is what one process alone would give.
    """
    with tqdm(total=len(tasks), desc=what, unit="run") as bar:
        found = []
        if workers == 1:
            use_one_thread()
            for task in tasks:
                found.append(function(task))
                bar.update()
            return found
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(workers, len(tasks)), begin) as pool:
            for done in pool.imap(function, tasks):
                found.append(done)
                bar.update()
            pool.close()  # workers end by themselves, and give back what they hold
            pool.join()
        return found


def begin() -> None:
    """Ctrl-C is for the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_one_thread()
