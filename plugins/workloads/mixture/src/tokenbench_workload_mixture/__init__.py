"""Several workloads in one run, for tokenbench."""
