"""`python -m emosh_cli` is `emosh`."""

from emosh_cli.main import main

main()
