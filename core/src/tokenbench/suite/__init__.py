"""Reading a suite: YAML or flags to one frozen value, with precise errors."""
