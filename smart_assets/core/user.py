"""Who runs this."""

import getpass


def user_name() -> str:
    """Who decides here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "unknown"
