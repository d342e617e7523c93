"""What the process of a room imports for the tasks of its run, and whether it may."""

from dataclasses import replace

from fedstate.executor.import_report import ImportReport
from fedstate.logs import labelled, logger

# What an app says of its imports must not fill the log.
_MOST_SENTENCES = 50
_MOST_APPS = 256


class KnownImports:
    """What the apps of earlier runs have imported, by the hash of their FABs.

    Code of an app has reported it. So it holds for runs of the very same code, and has nothing
    but names of modules: no variables, and nothing in the directory of another run.
    """

    def __init__(self) -> None:
        self._reports: dict[str, ImportReport] = {}

    def of(self, fab_hash: str) -> ImportReport:
        """Return what is known of an app; nothing of one without a hash."""
        return self._reports.get(fab_hash, ImportReport())

    def learn(self, fab_hash: str, report: ImportReport) -> None:
        """Take in what an app imports, in place of what was known of it."""
        self.forget(fab_hash)
        if fab_hash and report.modules and not report.environment and report.installed is None:
            self._reports[fab_hash] = replace(report, left=())
            if len(self._reports) > _MOST_APPS:
                self.forget(next(iter(self._reports)))

    def forget(self, fab_hash: str) -> None:
        """Forget an app: what was known of it does not hold for all of its runs."""
        self._reports.pop(fab_hash, None)


class Warmth:
    """What is known of one run's app from the tasks that have loaded it.

    Parameters
    ----------
    known
        What is known of the apps of other runs, and learns from this one.
    fab_hash
        The SHA-256 of this run's FAB; empty if nobody has named it.

    Attributes
    ----------
    bare : bool
        Whether nothing may be preloaded for the app: it sets what is read while that is imported.
    stale : bool
        Whether the process of the room is not as the app needs it: another takes its place.
    """

    def __init__(self, known: KnownImports | None = None, fab_hash: str = "") -> None:
        self.bare = False
        self.stale = False
        self._known = KnownImports() if known is None else known
        self._fab_hash = fab_hash
        self._report = self._known.of(fab_hash)
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
        if not self.bare and not self._cold:
            self._known.learn(self._fab_hash, merged)

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
        self._known.forget(self._fab_hash)

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
        if not self.bare:
            self._known.learn(self._fab_hash, self._report)

    def broke(self, run_id: int) -> None:
        """Note that the process ended over its imports: there are none any longer."""
        self._cold = True
        self._known.forget(self._fab_hash)
        self._say(run_id, "", "The process of the run's room ended over what it imported.")

    def _say(self, run_id: int, key: str, sentence: str) -> None:
        if key not in self._said and len(self._said) < _MOST_SENTENCES:
            self._said.add(key)
            with labelled(run=run_id):
                logger.info("Run %d: %s", run_id, sentence)
