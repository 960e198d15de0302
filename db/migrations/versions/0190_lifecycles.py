"""Lifecycles: the database refuses every state and change of state that is not declared."""

from __future__ import annotations

from alembic import op

from db.migrations.steps import run_all, run_script

revision = "0190"
down_revision = "0180"
branch_labels = None
depends_on = None

TRIGGERS = (
    "create trigger lifecycle_insert after insert on credit_holds for each row when ((new.status = 'OPEN') is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_update after update on credit_holds for each row when (old.status is distinct from new.status and (old.status = 'OPEN' and (new.status in ('CAPTURED', 'RELEASED', 'EXPIRED'))) is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_insert after insert on dead_jobs for each row when ((new.retried_at is null) is not true) execute function app.refuse_transition('retried_at')",
    "create trigger lifecycle_update after update on dead_jobs for each row when (old.retried_at is distinct from new.retried_at and (old.retried_at is null and (new.retried_at is not null)) is not true) execute function app.refuse_transition('retried_at')",
    "create trigger lifecycle_insert after insert on generations for each row when ((new.status = 'QUEUED' or new.status = 'SUCCEEDED' and (new.from_cache)) is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_update after update on generations for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('FAILED', 'CANCELLED') or new.status = 'RUNNING' and (new.attempts > old.attempts) or new.status = 'SUCCEEDED' and (new.from_cache)) or old.status = 'RUNNING' and (new.status in ('SUCCEEDED', 'FAILED', 'CANCELLED')) or old.status = 'FAILED' and (new.status = 'QUEUED')) is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_attempts after update on generations for each row when ((new.attempts >= old.attempts) is not true) execute function app.refuse_transition('attempts')",
    "create trigger lifecycle_insert after insert on provider_circuits for each row when ((new.state = 'CLOSED') is not true) execute function app.refuse_transition('state')",
    "create trigger lifecycle_update after update on provider_circuits for each row when (old.state is distinct from new.state and (old.state = 'CLOSED' and (new.state = 'OPEN') or old.state = 'OPEN' and (new.state in ('HALF_OPEN', 'CLOSED')) or old.state = 'HALF_OPEN' and (new.state in ('OPEN', 'CLOSED'))) is not true) execute function app.refuse_transition('state')",
    "create trigger lifecycle_insert after insert on sessions for each row when ((new.revoked_at is null) is not true) execute function app.refuse_transition('revoked_at')",
    "create trigger lifecycle_update after update on sessions for each row when (old.revoked_at is distinct from new.revoked_at and (old.revoked_at is null and (new.revoked_at is not null)) is not true) execute function app.refuse_transition('revoked_at')",
    "create trigger lifecycle_insert after insert on uploads for each row when ((new.status = 'AWAITING') is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_update after update on uploads for each row when (old.status is distinct from new.status and (old.status = 'AWAITING' and (new.status in ('READY', 'REJECTED', 'DELETED')) or old.status = 'READY' and (new.status = 'DELETED') or old.status = 'REJECTED' and (new.status in ('READY', 'DELETED'))) is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_insert after insert on users for each row when ((new.status = 'active') is not true) execute function app.refuse_transition('status')",
    "create trigger lifecycle_update after update on users for each row when (old.status is distinct from new.status and (old.status = 'active' and (new.status = 'locked') or old.status = 'locked' and (new.status = 'active')) is not true) execute function app.refuse_transition('status')",
)


def upgrade() -> None:
    op.execute("drop trigger check_change on generations")
    run_script("0190_lifecycles.sql")
    run_all(TRIGGERS)


def downgrade() -> None:
    op.execute("drop function app.refuse_transition() cascade")
    run_script("0190_life_cycle_before.sql")
    op.execute(
        "create trigger check_change before update on generations"
        " for each row execute function app.check_generation_change()"
    )
