"""Evaluation of a model on held-out instances and lm-eval tasks: `python -m smart_assets.evaluation JOB.json`."""
