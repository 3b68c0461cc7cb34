"""Where frames come from and where results go; every write is atomic."""
