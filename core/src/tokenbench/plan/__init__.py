"""From a suite to a plan: what will run, its identity, and the origin of each setting."""
