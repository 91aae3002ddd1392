"""Make the virtual environment of the Makefile, unless it is there and whole.

Touches the stamp only when something was made, so that make repeats nothing.
"""

import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)


def main() -> None:
    """Make it, or leave it."""
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        sys.exit(
            f"error: Python {wanted} or newer is needed, this is {sys.version.split()[0]}\n"
            "hint: name another: make PYTHON=python3.13 demo"
        )
    folder = Path(sys.argv[1])
    stamp = folder / ".python"
    me = f"{sys.version}\n{sys.base_prefix}\n"
    if stamp.is_file() and stamp.read_text() == me and (folder / "bin" / "python").exists():
        return
    print(f"making an environment with Python {sys.version.split()[0]} ...", flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=False)
    if done.returncode != 0:
        sys.exit(
            "error: Python could not make a virtual environment\n"
            "hint: install its venv and pip parts (Debian: apt install python3-venv)"
        )
    stamp.write_text(me)


if __name__ == "__main__":
    main()
