"""The command line: thin commands, each imported when it runs."""

import os
import sys

from tokenbench.launch.python import without_current_folder

# Before the first import that a file of the current folder could replace. Only for the program
# `bench`: the module search path of others who import this package is theirs.
if sys.argv[0] == "-m" or sys.argv[0].endswith("bench"):
    sys.path[:] = without_current_folder(sys.path, os.environ)
