"""`python -m tallygraph_bot`."""

from tallygraph_bot.discord_gateway import main

main()
