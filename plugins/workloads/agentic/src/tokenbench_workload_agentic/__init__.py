"""Generated agents with tools and sub-agents, for tokenbench."""
