"""The command line: thin doors, no algorithms. One file a verb."""
