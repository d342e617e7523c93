"""The ports of a local federation, all of them on this machine's loopback."""

from dataclasses import dataclass
from typing import Self

from fedstate.local.process import free_port

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Who listens where on 127.0.0.1.

    Attributes
    ----------
    control, fleet, runtime : int
        The SuperLink's three APIs; all on one port where its program cannot do otherwise.
    nodes : tuple of int
        The API of each SuperNode, for its executor.
    """

    control: int
    fleet: int
    runtime: int
    nodes: tuple[int, ...]

    @classmethod
    def free(cls, nodes: int, *, control: int | None, split: bool) -> Self:
        """Return ports that nobody listens on.

        Parameters
        ----------
        nodes : int
            How many SuperNodes there are.
        control : int, optional
            The port of the Control API; without it, a free one, too.
        split : bool
            Whether the SuperLink's APIs have a port each.
        """
        found = [control or free_port()]
        while len(found) < (3 if split else 1) + nodes:
            if (port := free_port()) not in found:
                found.append(port)
        if split:
            return cls(found[0], found[1], found[2], tuple(found[3:]))
        return cls(found[0], found[0], found[0], tuple(found[1:]))

    @property
    def superlink_options(self) -> list[str]:
        """The options that say so to a SuperLink."""
        if self.control == self.fleet == self.runtime:
            return ["--host", LOOPBACK, "--port", str(self.control)]
        return [
            *("--control", f"{LOOPBACK}:{self.control}"),
            *("--fleet", f"{LOOPBACK}:{self.fleet}"),
            *("--runtime", f"{LOOPBACK}:{self.runtime}"),
        ]

    def closed_to(self, api: int) -> list[int]:
        """Return what is closed to an executor's apps: every port but that of their own API."""
        every = dict.fromkeys((self.control, self.fleet, self.runtime, *self.nodes))
        return [port for port in every if port != api]
