"""Training recipes: one TOML file for each model that we ship or reproduce."""
