"""Evaluation of a model on held-out instances and lm-eval tasks, as a program: `python -m smart_assets.evaluation JOB.json`."""
