"""Licences as users write them, in the words of each standard. None stands for: not known."""

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

# Ids of the Hugging Face hub that are not the SPDX id in lower case.
_HUB_IDS = {"ODC-By-1.0": "odc-by", "ODbL-1.0": "odbl", "PDDL-1.0": "pddl"}


def spdx_expression(licence: str | None) -> str | None:
    """Return the SPDX expression that a licence is, in SPDX's own spelling; None where it is none.

    Words of the user's own (`LicenseRef-...` too, since no document here says what it refers to) are none.
    """
    if licence is None or "licenseref" in licence.lower():
        return None
    try:
        return str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        return None


def spdx_id(licence: str | None) -> str | None:
    """Return the id of a single licence on SPDX's list; None for an expression of several, and where it is none."""
    found = spdx_expression(licence)
    return found if found and " " not in found else None


def licence_reference(licence: str) -> str:
    """Return a licence for Croissant: its page on SPDX's list, else the user's words."""
    found = spdx_id(licence)
    return f"https://spdx.org/licenses/{found}" if found else licence


def hub_licence(licence: str | None) -> str:
    """Return a licence in the ids of the Hugging Face hub.

    `unknown` where none was given, `other` for what has no id.
    """
    if licence is None:
        return "unknown"
    found = spdx_id(licence)
    return "other" if found is None else _HUB_IDS.get(found, found.lower())
