"""Prints a subscription's items until one contains a text: watch.py DOCUMENT [UNTIL].

Reads the access token from the variable TOKEN, and the server from TALLYGRAPH
(http://127.0.0.1:8000). It ends after a minute in any case; without UNTIL, after one without items.
"""

import json
import os
import sys
import time

from websockets.sync.client import connect
from websockets.typing import Subprotocol

TIMEOUT_SECONDS = 60


def main(document: str, until: str = "") -> None:
    """Speaks graphql-transport-ws: connect, prove who we are, subscribe, print."""
    url = os.environ.get("TALLYGRAPH", "http://127.0.0.1:8000").replace("http", "ws", 1)
    authorization = f"Bearer {os.environ['TOKEN']}"
    with connect(f"{url}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:

        def send(**message: object) -> None:
            socket.send(json.dumps(message))

        send(type="connection_init", payload={"Authorization": authorization})
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while True:
            # The server's pings are no items.
            message = json.loads(socket.recv(max(0.0, ends_at - time.monotonic())))
            if message["type"] == "connection_ack":
                send(type="subscribe", id="1", payload={"query": document})
            elif message["type"] == "ping":
                send(type="pong")
            elif message["type"] == "next":
                item = json.dumps(message["payload"]["data"])
                print(item, flush=True)
                if until and until in item:
                    return
                if not until:
                    ends_at = time.monotonic() + TIMEOUT_SECONDS
            else:
                sys.exit(f"The server ended the subscription: {message}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TimeoutError:
        wanted = f"with {sys.argv[2]} " if sys.argv[2:] else ""
        sys.exit(f"Nothing {wanted}came for {TIMEOUT_SECONDS} seconds.")
