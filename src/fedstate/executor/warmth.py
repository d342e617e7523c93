"""What the process of a room imports for the tasks of its run, and whether it may."""

from fedstate.executor.import_report import ImportReport
from fedstate.logs import labelled, logger

# What an app says of its imports must not fill the log.
_MOST_SENTENCES = 50


class Warmth:
    """What is known of one run's app from the tasks that have loaded it.

    Attributes
    ----------
    bare : bool
        Whether nothing may be preloaded for the app: it sets what is read while that is imported.
    stale : bool
        Whether the process of the room is not as the app needs it: another takes its place.
    """

    def __init__(self) -> None:
        self.bare = False
        self.stale = False
        self._report = ImportReport()
        self._wanted = False
        self._cold = False
        self._said: set[str] = set()

    def learn(self, run_id: int, report: ImportReport) -> None:
        """Take in what a task of the run has imported."""
        merged = self._report.merged(report)
        for name, reason in merged.left:
            self._say(run_id, name, f"The module '{name}' is left to each message: it {reason}.")
        if merged.modules != self._report.modules or merged.installed != self._report.installed:
            self._wanted = True
        self._report = merged

    def go_bare(self, run_id: int, reason: str, *, cold: bool) -> None:
        """Take in that a task needed an interpreter in which nothing is preloaded.

        Parameters
        ----------
        run_id
            The run.
        reason
            Why, in a sentence.
        cold
            Whether what had been imported for the run was too much already.
        """
        self._say(run_id, "", reason)
        self.bare = self.stale = True
        self._cold = self._cold or cold

    def wanted(self) -> ImportReport | None:
        """Return what the process of the room is to import now; None for nothing more."""
        if not self._wanted or self._cold:
            return None
        self._wanted = False
        return self._report if self._report.modules or self._report.installed else None

    def began(self) -> None:
        """Note that the room has a new process."""
        self.stale = False
        self._wanted = True

    def unfit(self, left: tuple[str, ...]) -> None:
        """Note that these modules do not survive a fork: the process is of no use any longer."""
        self._report = self._report.without(left)
        self.stale = True

    def broke(self, run_id: int) -> None:
        """Note that the process ended over its imports: there are none any longer."""
        self._cold = True
        self._say(run_id, "", "The process of the run's room ended over what it imported.")

    def _say(self, run_id: int, key: str, sentence: str) -> None:
        if key not in self._said and len(self._said) < _MOST_SENTENCES:
            self._said.add(key)
            with labelled(run=run_id):
                logger.info("Run %d: %s", run_id, sentence)
