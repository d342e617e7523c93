"""How soon a process that has ended is started again, and when no longer."""

# This many times in this long, and it is left as it is: what ends it does not pass by itself.
MOST = 5
WINDOW_SECONDS = 300.0


class Patience:
    """The endings of one process."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def after(self, now: float) -> float | None:
        """Note that the process has ended; return in how many seconds it is started again.

        Parameters
        ----------
        now : float
            In seconds of a clock that nobody sets.

        Returns
        -------
        float or None
            0 after it had run well for a long time, and twice as many seconds each time after
            that; None if it has ended too often.
        """
        self._times = [each for each in self._times if now - each < WINDOW_SECONDS]
        self._times.append(now)
        count = len(self._times)
        if count >= MOST:
            return None
        return 0.0 if count == 1 else 2.0 ** (count - 2)

    def forget(self) -> None:
        """Begin anew: somebody has looked after the process."""
        self._times.clear()
