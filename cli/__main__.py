"""`python -m cli …` is `tallygraph …`."""

from cli.main import main

main()
