"""What holds for every test: a law is not broken by a machine that is busy with something else."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
