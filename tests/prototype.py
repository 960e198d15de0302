"""Attuned's prototype as a database to import from: its tables, and rows to put into them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg

from tests.attuned import ITEMS

# The columns that are read, under the prototype's names and types.
TABLES = """
create table users (id uuid primary key, email text unique, display_name text, demographics jsonb,
    has_penis boolean default false, has_vagina boolean default false, has_breasts boolean default false,
    likes_penis boolean default false, likes_vagina boolean default false, likes_breasts boolean default false,
    subscription_tier text default 'free', profile_sharing_setting text default 'overlapping_only');
create table survey_submissions (submission_id text primary key, user_id uuid, name text, sex text,
    sexual_orientation text, survey_version text, payload_json jsonb, created_at timestamptz default now());
create table profiles (id serial primary key, user_id uuid, submission_id text, anonymous_session_id text,
    is_anonymous boolean, survey_version text, power_dynamic jsonb, boundaries jsonb, anatomy jsonb,
    created_at timestamptz default now());
create table survey_progress (id serial primary key, user_id uuid, anonymous_session_id text,
    survey_version text, status text, answers jsonb, started_at timestamptz default now(),
    last_saved_at timestamptz default now());
create table remembered_partners (id serial primary key, user_id uuid, partner_user_id uuid,
    last_played_at timestamptz default now(), created_at timestamptz default now());
create table activities (activity_id serial primary key, type text, rating text, intensity integer,
    script jsonb, tags jsonb, source text default 'bank', approved boolean default true, power_role text,
    domains jsonb, audience_scope text, hard_boundaries jsonb, required_bodyparts jsonb,
    is_active boolean default true);
create table sessions (session_id text primary key, player_a_profile_id integer, player_b_profile_id integer,
    primary_user_id uuid, primary_profile_id integer, partner_user_id uuid, partner_profile_id integer,
    partner_anonymous_name text, partner_anonymous_anatomy jsonb, intimacy_level text, rating text,
    status text, created_at timestamptz default now(), updated_at timestamptz default now());
create table session_activities (session_id text, seq integer, activity_id integer, type text, intensity integer,
    script jsonb, tags jsonb, roles jsonb, primary key (session_id, seq));
create table user_activity_history (id serial primary key, user_id uuid, anonymous_session_id text,
    activity_id integer, activity_type text, feedback_type text, feedback_executed boolean,
    presented_at timestamptz default now(), theme_tags jsonb);
create table compatibility_results (player_a_id integer, player_b_id integer, overall_percentage integer,
    calculation_version text, primary key (player_a_id, player_b_id));
"""


async def add(source: asyncpg.Connection, table: str, **row: Any) -> Any:
    """Inserts a row; gives its first column."""
    values = [json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()]
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    return await source.fetchval(
        f"insert into {table} ({', '.join(row)}) values ({places}) returning *", *values
    )


def submitted(**others: Any) -> dict[str, Any]:
    """Answers as the prototype's client sends them; by their ids, `others` instead."""
    values = {"SCALE": 4, "YES_MAYBE_NO": "M", "CHECKLIST": []}
    return {item["item_id"]: values[item["kind"]] for item in ITEMS} | others


async def add_profile(
    source: asyncpg.Connection,
    name: str,
    answers: dict[str, Any],
    *,
    user_id: UUID | None = None,
    session: str | None = None,
    **others: Any,
) -> int:
    """A profile with what was submitted for it; gives its number."""
    submission = f"submission of {name}"
    await add(
        source, "survey_submissions", submission_id=submission, name=name, sex="woman",
        sexual_orientation="bisexual", payload_json={"answers": answers},
    )  # fmt: skip
    row = {"anatomy": {"anatomy_self": ["vagina"], "anatomy_preference": ["any"]}, **others}
    number: int = await add(
        source, "profiles", submission_id=submission, user_id=user_id,
        anonymous_session_id=session, **row,
    )  # fmt: skip
    return number
