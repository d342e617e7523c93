"""What becomes of a step when its ClientApp takes its input and pushes its output.

The Context and the reply are committed together, and only then the task counts as finished and
the reply is sent.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fedstate.failpoints import reach
from fedstate.large.context import SplitContext
from fedstate.supernode.steps import Steps


class StepHandlers:
    """Leads the input and the output of tasks to their steps.

    Parameters
    ----------
    steps : Steps
        The steps under way.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    @contextmanager
    def handing_out(self, task_id: int) -> Iterator[Callable[[bytes], None]]:
        """Let a store that cannot be read end the SuperNode, not only the step."""

        def note(digest: bytes) -> None:
            if step := self._steps.of_task(task_id):
                with step.lock:
                    step.handed_out = digest

        with self._steps.critical():
            yield note
        reach("context-loaded")

    def on_output(
        self, task_id: int, left: Callable[[], SplitContext] | None, details: str
    ) -> bool:
        """Commit what a step made, or end a step that failed; False if there is no such step."""
        step = self._steps.of_task(task_id)
        if step is None:
            return False
        with self._steps.critical():
            if left is None:
                self._steps.fail(step, details)
            else:
                self._steps.complete(step, left())
        return True
