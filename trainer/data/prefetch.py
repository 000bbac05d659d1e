"""Prefetching in a thread."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

STEPS_AHEAD = 2


class Prefetcher(Generic[Item]):
    """Results of a function that a thread calls ahead of time; at most two finished results wait."""

    def __init__(self, produce: Callable[[], Item]) -> None:
        self.produce = produce
        self.items: queue.Queue[Item | BaseException] = queue.Queue(STEPS_AHEAD)
        self.is_closed = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        while not self.is_closed.is_set():
            try:
                item: Item | BaseException = self.produce()
            except BaseException as error:  # next() raises it in the thread that waits
                item = error
            self.items.put(item)
            if isinstance(item, BaseException):
                return

    def next(self) -> Item:
        """Return the next result, or raise what the function raised."""
        item = self.items.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Stop the thread and wait until it has ended."""
        self.is_closed.set()
        while self.thread.is_alive():
            while not self.items.empty():
                self.items.get_nowait()
            self.thread.join(0.01)
