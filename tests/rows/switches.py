"""The row of the switches, which a migration makes."""

from . import Maker

ROWS: dict[str, Maker] = {"public.switches": lambda user, key: {"id": 1}}
CHANGES = {"switches": "updated_at = updated_at + interval '1 second'"}
