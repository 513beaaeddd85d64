"""`python -m hala` is the command line."""

from hala.cli import main

main()
