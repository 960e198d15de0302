"""Reminders. A real migration has the text of all this, as Alembic drafts it."""

from alembic import op

from db.core.declarations import declared_statements
from db.core.registry import metadata, models
from db.migrations.functions import VERSIONS

revision = "9999"
down_revision = sorted(
    path.stem[:4] for path in VERSIONS.glob("[0-9]*.py") if path.stem[:4] != revision
)[-1]


def upgrade():
    table = metadata.tables["reminders"]
    table.create(op.get_bind())
    for statement in declared_statements(table, models()["reminders"]):
        op.execute(statement)
