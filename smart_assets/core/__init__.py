"""What every room uses: errors, progress, threads, the base of settings, metrics, text that is safe to show."""
