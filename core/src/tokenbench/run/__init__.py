"""One execution of a plan: deployments, points and evals in order, everything on disk."""
