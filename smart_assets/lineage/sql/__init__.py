"""The store as SQL views: over the files of artifacts, and over manifests."""
