"""Property tests of pure code: slow machines must not make them fail."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
