"""``python -m faceparts`` is the command ``faceparts``."""

from faceparts.cli.main import main

if __name__ == "__main__":
    main()
