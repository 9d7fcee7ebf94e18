"""Programs that measure; run from the project's root with `python -m benchmarks.<name>`."""
