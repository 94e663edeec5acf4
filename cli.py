"""From a checkout: `python cli.py …` is `instructsel …`."""

from instructsel.commands import main

main()
