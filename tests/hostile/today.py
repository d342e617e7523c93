"""Scratch: print what gets through now."""

import sys

from tests.hostile.app.hostile.attacks import PROBES
from tests.hostile.grounds import Plain, why_not
from tests.hostile.siege import Siege

mode = sys.argv[1]
print(why_not(mode))
g = Plain(mode)
s = Siege(g)
try:
    g.start()
    s.run()
finally:
    for (side, name), r in sorted(s.probes.items()):
        print(
            side,
            name,
            r["seconds"],
            "THROUGH %s" % r["through"] if r["through"] else "",
            r["denied"],
        )
    for side in ("client", "server"):
        for name in PROBES:
            if (side, name) not in s.probes:
                print("MISSING", side, name)
    for n, t in s.bombs.items():
        print("BOMB", n, t[:300])
    print(
        "lost", s.lost, "grown", s.grown, "left", s.left, "in the way", s.in_its_way, s.failures
    )
    print(
        "same", s.undisturbed == s.disturbed, s.undisturbed.keys(), s.disturbed.keys(), s.seconds
    )
    if "-v" in sys.argv:
        print(*s.logs, sep="\n=====\n")
    if "-l" in sys.argv:
        print(g.logs())
    g.remove()
