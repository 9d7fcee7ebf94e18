"""All manifests of a store, found by what others name of them."""

from collections.abc import Iterator, Sequence

from smart_assets.pipeline.step import parse_input
from smart_assets.store import Manifest
from smart_assets.store.inventory import Recorded


class Manifests:
    """The manifests that can be relied on."""

    def __init__(self, histories: Sequence[Sequence[Recorded]]) -> None:
        """`histories` are the manifests of each partition, newest first, as `recorded` gives them."""
        self._all = [item.manifest for history in histories for item in history if item.manifest is not None]
        self._named: dict[tuple[str, str | None, str, str], list[Manifest]] = {}
        for manifest in self._all:
            for facet, version in [("", manifest.content_version), *manifest.facets.items()]:
                self._named.setdefault((manifest.asset, manifest.partition, facet, version), []).append(manifest)

    def of(self, asset: str) -> list[Manifest]:
        """The manifests of an asset, newest first in each partition."""
        return [manifest for manifest in self._all if manifest.asset == asset]

    def named(self, name: str, version: str, at: str = "") -> Manifest | None:
        """The newest manifest that an input's name and version mean; None where it is not in the store.

        Args:
            name: of the input.
            version: of its content, or of its facet.
            at: when it was read, ISO 8601. The same content may have been made of one thing before and of another
                after; what was made later is no part of what read it.
        """
        source, facet = parse_input(name)
        found = self._named.get((source.asset, source.partition, facet or "", version), [])
        then = (one for one in found if not at or str(one.made.get("at", "")) <= at)
        return next(then, found[-1] if found else None)

    def inputs(self, manifest: Manifest) -> Iterator[Manifest]:
        """What a manifest was made from, as far as it is in the store."""
        for name, version in manifest.inputs.items():
            found = self.named(name, version)
            if found is not None:
                yield found
