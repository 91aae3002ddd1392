"""One execution of a plan: deployments, points, evals, in order, with everything kept."""
