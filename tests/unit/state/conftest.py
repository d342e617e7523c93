"""Generated examples are the same in every run, and may take their time on a busy machine."""

from hypothesis import settings

settings.register_profile("fedstate", deadline=None, derandomize=True)
settings.load_profile("fedstate")
