"""How a step says that it failed: Dagster's pages begin an error with the name of its class, module and all."""

import dagster as dg


class NotMade(dg.Failure):
    """A step that was not made, with the reason in a sentence."""

    # Python writes an error's module before its name, unless it is one of these: the page then begins "NotMade: ".
    __module__ = "builtins"
