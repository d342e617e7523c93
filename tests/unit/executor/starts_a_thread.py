"""A module that no process survives a fork with: its import starts a thread that goes on."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
