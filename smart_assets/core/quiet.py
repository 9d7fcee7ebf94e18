"""A library's note that nobody can act on, kept off the terminal."""

import logging


def quiet_bitsandbytes() -> None:
    """To be called before peft is imported, which imports it: on some CPUs it asks for a package nobody needs here."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
