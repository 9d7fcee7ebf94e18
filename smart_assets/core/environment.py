"""What surrounds the program: who runs it, and a library's note that nobody can act on."""

import getpass
import logging


def user_name() -> str:
    """Return the name of the user who runs this, or `unknown`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "unknown"


def quiet_bitsandbytes() -> None:
    """Keep a note of bitsandbytes off the terminal; call it before peft is imported, which imports bitsandbytes.

    On some CPUs it asks for a package that nobody needs here.
    """
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
