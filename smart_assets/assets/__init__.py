"""What each asset holds, in plain Python: a module an asset, all of one shape (`step.Step`)."""
