"""Fine-tuning of a base model on a mixture, as a program of its own: `python -m smart_assets.training JOB.json`."""
