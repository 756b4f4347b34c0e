"""Create the virtual environment for the Makefile, or say in one line why that cannot be.

    python tools/make_venv.py FOLDER

Runs under any Python, so that an old one gets an answer and not a syntax error.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)


def works(python):
    """Whether a virtual environment's interpreter runs, is new enough and has pip."""
    check = "import sys, pip; sys.exit(sys.version_info[:2] < (%d, %d))" % OLDEST  # noqa: UP031
    try:
        return subprocess.call([python, "-c", check], stderr=subprocess.PIPE) == 0
    except OSError:
        return False


def main(folder):
    """Leave a usable environment in `folder`: the present one if it works, else a new one."""
    python = os.path.join(folder, "bin", "python")
    if works(python):
        return 0
    have = ".".join(str(part) for part in sys.version_info[:3])
    want = ".".join(str(part) for part in OLDEST)
    if sys.version_info[:2] < OLDEST:
        sys.stderr.write(
            "seglib needs Python %s or newer, and %s is %s: name another, as in"  # noqa: UP031
            " `make lab PYTHON=python3.12`\n" % (want, sys.executable, have)
        )
        return 1
    if os.path.exists(folder) and not os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        sys.stderr.write(
            "%s is in the way and is no virtual environment: move it away\n" % folder  # noqa: UP031
        )
        return 1
    # --clear: what lies there is half-made, too old or without pip.
    made = subprocess.call([sys.executable, "-m", "venv", "--clear", folder])
    if made != 0 or not works(python):
        sys.stderr.write(
            "%s cannot make a virtual environment with pip: on Debian or Ubuntu,"  # noqa: UP031
            " install the package python3-venv\n" % sys.executable
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
