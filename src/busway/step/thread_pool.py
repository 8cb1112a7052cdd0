"""Threads that run steps: started when they are needed, and used again afterwards."""

from __future__ import annotations

import queue
import threading
from typing import Protocol

IDLE_TIMEOUT_S = 60.0
"""How long a thread waits for its next task before it ends."""


class ThreadTask(Protocol):
    """A task that has a thread to itself."""

    def work(self) -> bool:
        """Run; return whether the thread may be used again."""
        ...

    def finish(self) -> None:
        """Report that the task has ended; called after :meth:`work`, in the same thread."""
        ...


class StepThreads:
    """The threads that run the steps of a process.

    There are as many as there were tasks at the same time; without a task there are none. A thread
    that a task must not share is never used again: a step that hangs keeps its thread, and nobody
    waits for it. The threads are daemons, so that none of them delays the end of the process.
    """

    def __init__(self, idle_timeout_s: float = IDLE_TIMEOUT_S) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._idle: list[_StepThread] = []

    def start(self, task: ThreadTask) -> threading.Thread:
        """Run a task in an idle thread, or in a new one if there is none; return the thread."""
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = _StepThread(self._idle, self._idle_timeout_s)
            thread.start()
        thread.tasks.put(task)
        return thread

    def close(self) -> None:
        """End the idle threads."""
        while self._idle:
            self._idle.pop().tasks.put(None)


class _StepThread(threading.Thread):
    def __init__(self, idle: list[_StepThread], idle_timeout_s: float) -> None:
        super().__init__(name="busway-step", daemon=True)
        self.tasks: queue.SimpleQueue[ThreadTask | None] = queue.SimpleQueue()
        self._idle = idle
        self._idle_timeout_s = idle_timeout_s

    def run(self) -> None:
        while (task := self._next_task()) is not None:
            reusable = task.work()
            if reusable:
                self._idle.append(self)  # first: the next task may be started by what follows
            task.finish()
            del task
            if not reusable:
                return

    def _next_task(self) -> ThreadTask | None:
        """Return the next task, ``None`` if the thread should end."""
        try:
            return self.tasks.get(timeout=self._idle_timeout_s)
        except queue.Empty:
            try:
                self._idle.remove(self)
            except ValueError:  # it was taken meanwhile: a task is on its way
                return self.tasks.get()
            return None
