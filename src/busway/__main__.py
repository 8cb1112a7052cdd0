"""``python -m busway`` is ``busway``."""

from busway.cli.main import main

if __name__ == "__main__":
    main()
