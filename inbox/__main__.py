"""``python -m inbox`` is the command line."""

from inbox.cli import main

main()
