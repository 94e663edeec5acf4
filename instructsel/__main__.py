"""python -m instructsel."""

from instructsel.commands import main

main()
