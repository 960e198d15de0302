"""The catalog itself: roles, functions, policies, grants, triggers and indexes are as declared."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from db.core.declarations import declared_statements
from db.core.pool import Database
from db.core.registry import models
from db.core.rereading import reread_name
from db.core.roles import UnsafeRoleError
from db.embedded.database import EmbeddedDatabase
from settings import Settings

ROLES = ("anon", "authenticated", "service")
OUR_SCHEMAS = "n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'"

# Each runs with its caller's rights and reads one row of the table it is named after.
REREADING = {
    f"app.{reread_name(table)}({key.type.compile(dialect=asyncpg_dialect()).lower()})"
    for model in models().values()
    for table in [model.metadata.tables[model.__tablename__]]
    for key in list(table.primary_key)[:1]
    if len(table.primary_key) == 1 and not model.access.is_internal
}
# Each runs with its caller's rights and writes one row of the table it is named after.
WRITING = {
    f"app.{command}_{model.__tablename__}({','.join(takes)})"
    for model in models().values()
    for command, takes in {
        "insert": ["jsonb"],
        "update": ["uuid", "jsonb"],
        "delete": ["uuid"],
    }.items()
    if model.access.offers(command.upper())
}
# Everything that a client's role may call. A function that is missing here is closed.
CALLABLE = {
    "anon": {
        "app.default_sharing(uuid)",
        "app.documents_in_force()",
        "app.has_consented(uuid)",
        "app.has_demographics(uuid)",
        "app.has_high_quality(uuid)",
        "app.has_survey_profile(uuid)",
        "app.measured(anyelement,integer)",
        "app.refuse(text,text,jsonb)",
        "app.seen_of_events()",
        "app.translated(text,text)",
        "app.translations_for(text)",
        "app.user_id()",
        "app.uuid_v7()",
    },
    "authenticated": {
        "app.allowance_end(text)",
        "app.allowance_start(text)",
        "app.ban_licence(uuid,boolean,text)",
        "app.entry_count(uuid)",
        "app.create_developer_key(text,text,text,bytea,text,jsonb)",
        "app.create_developer_product(text,bigint,text,text)",
        "app.create_licences(text,uuid,jsonb,integer,timestamp with time zone,integer,text)",
        "app.create_whitelist_system(text,text,uuid)",
        "app.delete_developer_product(uuid)",
        "app.delete_whitelist_system(uuid)",
        "app.developer_usage(uuid,text,text)",
        "app.extend_licence(uuid,integer,timestamp with time zone)",
        "app.obfuscation_period_end(text,timestamp with time zone)",
        "app.obfuscation_period_start(text,timestamp with time zone)",
        "app.prove_developer_product(uuid,text)",
        "app.record_obfuscation(text)",
        "app.redeem_licence(bytea[],text,bigint)",
        "app.remove_whitelist_entries(uuid[])",
        "app.revoke_developer_key(uuid,jsonb)",
        "app.set_whitelist_entry(uuid,bigint,text,timestamp with time zone)",
        "app.spendable_credits(uuid)",
        "app.sync_whitelist(uuid,text,text,jsonb,integer)",
        "app.configure_discord_server(uuid,jsonb,jsonb,text,bytea)",
        "app.create_bot_key(text,text,bytea,timestamp with time zone,text,jsonb)",
        "app.create_discord_link_code(bytea)",
        "app.leave_discord_servers(text[])",
        "app.link_discord_server(text,bytea)",
        "app.redeem_bot_key(uuid,jsonb)",
        "app.register_discord_servers(jsonb)",
        "app.release_discord_server(uuid)",
        "app.remove_bot_command_permission(uuid)",
        "app.remove_bot_product(uuid)",
        "app.sync_bot_whitelist(uuid,text,jsonb,integer)",
        "app.tier_limit(text,text)",
        "app.tier_name(text)",
        "app.tier_of_plan(text)",
        "app.transfer_licence(uuid,text,text,bigint)",
        "app.catalog_references(jsonb,jsonb)",
        "app.remove_hair_color(text)",
        "app.remove_hairstyle(text)",
        "app.remove_plan(text)",
        "app.remove_skin_color(text)",
        "app.remove_tool(text)",
        "app.save_hair_color(text,jsonb)",
        "app.save_hairstyle(text,jsonb)",
        "app.save_plan(text,jsonb)",
        "app.save_product(text,jsonb)",
        "app.save_product_price(text,text,jsonb)",
        "app.remove_product(text)",
        "app.remove_product_price(text,text)",
        "app.save_skin_color(text,jsonb)",
        "app.save_tool(text,jsonb)",
        "app.set_translation(text,text,text)",
        "app.translated(text,text)",
        "app.translations_for(text)",
        "app.answer(uuid,text,jsonb)",
        "app.accept_invitation(uuid)",
        "app.abandon_survey(uuid)",
        "app.default_sharing(uuid)",
        "app.documents_in_force()",
        "app.turn_diagnostics(uuid)",
        "app.has_consented(uuid)",
        "app.has_demographics(uuid)",
        "app.has_survey_profile(uuid)",
        "app.make_survey_profile(uuid,jsonb)",
        "app.read_survey_run(uuid)",
        "app.record_consent(text,text)",
        "app.redeem_referral_code(text,bytea)",
        "app.create_coaching_session(jsonb)",
        "app.save_survey_answers(uuid,jsonb,text,bytea)",
        "app.set_boundary(text,text)",
        "app.resolve_sync_conflict(uuid,text)",
        "app.update_user_profile(jsonb)",
        "app.sync_changes(text,text,text,jsonb,integer,bigint,bigint)",
        "app.start_survey(text,text)",
        "app.update_demographics(jsonb)",
        "app.create_api_key(text,text,bytea,text[],timestamp with time zone,text,text,jsonb)",
        "app.end_own_sessions(uuid,jsonb)",
        "app.entitlements_of(uuid)",
        "app.revoke_api_key(uuid,jsonb)",
        "app.revoke_own_session(uuid,jsonb)",
        "app.rotate_api_key(uuid,text,bytea,interval,timestamp with time zone,text,jsonb)",
        "app.create_organization(text,text)",
        "app.create_organization_key(uuid,text,text,text,bytea,text[],timestamp with time zone,text,jsonb)",
        "app.delete_organization(uuid)",
        "app.keep_organization(uuid)",
        "app.call_usage(uuid,uuid,text,text,timestamp with time zone,timestamp with time zone)",
        "app.create_campaign(uuid,uuid,jsonb,text)",
        "app.create_contact_list(uuid,bigint)",
        "app.create_store(jsonb,text)",
        "app.update_store(uuid,jsonb)",
        "app.save_creator_profile(jsonb)",
        "app.begin_onboarding(uuid,text)",
        "app.create_product(uuid,jsonb,text)",
        "app.update_product(text,jsonb)",
        "app.move_product(text,text)",
        "app.create_product_file(text,text,text,bigint)",
        "app.delete_product_file(uuid)",
        "app.create_product_version(uuid,text,text)",
        "app.check_product_picture(text)",
        "app.remove_product_picture(uuid)",
        "app.begin_download(text,uuid)",
        "app.open_discounted_order(text,text,text,text,text,text)",
        "app.obtain_product(text)",
        "app.claim_sales()",
        "app.create_discount_code(uuid,jsonb)",
        "app.update_discount_code(uuid,jsonb)",
        "app.seller_earnings(uuid)",
        "app.payable_cents(integer,text,text)",
        "app.create_affiliate_link(uuid)",
        "app.affiliate_earnings(uuid)",
        "app.save_review(text,integer,text)",
        "app.delete_review(uuid)",
        "app.create_workflow(uuid,text,jsonb,text,jsonb,text)",
        "app.move_campaign(uuid,text)",
        "app.start_run(uuid,text,text)",
        "app.move_workflow(uuid,text)",
        "app.update_workflow(uuid,text,jsonb,text,jsonb)",
        "app.accept_partner(uuid,text)",
        "app.block_partner(uuid)",
        "app.cancel_partner_request(uuid)",
        "app.decline_partner(uuid,boolean)",
        "app.disconnect_partner(uuid)",
        "app.reconnect_partner(uuid)",
        "app.remove_partner(uuid)",
        "app.unblock_partner(uuid)",
        "app.request_partner(text,text,text)",
        "app.reread_sharing_ids(uuid,text[])",
        "app.set_default_sharing(text)",
        "app.set_sharing(uuid,text)",
        "app.withdraw_consent(text)",
        "app.sharing_ids(text[])",
        "app.own_survey_answers_open_item()",
        "app.open_order(text,text,text,text,text)",
        "app.invite_member(uuid,text,text,text)",
        "app.request_refund(uuid,integer,text,text)",
        "app.replay_webhook_for_admin(uuid)",
        "app.leave_organization(uuid)",
        "app.organization_ids(text[])",
        "app.complete_activity(uuid,integer,boolean,text)",
        "app.create_activity(text,jsonb)",
        "app.remove_activity(text)",
        "app.request_activities(uuid,text)",
        "app.update_activity(text,jsonb)",
        "app.confirm_play_session(uuid,text)",
        "app.draw_activity(uuid,text,integer)",
        "app.end_of_day(timestamp with time zone,text,timestamp with time zone,text)",
        "app.end_play_session(uuid)",
        "app.free_daily_activities()",
        "app.leave_play_session(uuid)",
        "app.lower_play_level(uuid,text,integer)",
        "app.next_midnight(timestamp with time zone,text)",
        "app.guest_allowance(uuid)",
        "app.play_allowance(uuid)",
        "app.play_limit(uuid)",
        "app.play_remaining(uuid)",
        "app.play_resets_at(uuid)",
        "app.play_session_ids(text[])",
        "app.play_used(uuid)",
        "app.reread_play_session_ids(uuid,text[])",
        "app.skip_activity(uuid,integer)",
        "app.start_play_session(text,text,jsonb,text)",
        "app.register_push_token(uuid,text,text,bytea,bytea)",
        "app.remove_member(uuid,uuid)",
        "app.remove_push_token(bytea)",
        "app.request_export(jsonb)",
        "app.reread_organization_ids(uuid,text[])",
        "app.revoke_invitation(uuid)",
        "app.select_organization(uuid)",
        "app.billing_customer(uuid,text)",
        "app.open_subscription(uuid,text,text,integer,text,text[],text)",
        "app.subscription_to_change(uuid,text)",
        "app.limit_of_plan(organization_plans,text,integer)",
        "app.plan_limit(text,text,integer)",
        "app.plan_usage(uuid,text,integer)",
        "app.usage_period_end(integer,timestamp with time zone)",
        "app.usage_period_start(integer,timestamp with time zone)",
        "app.set_member_role(uuid,uuid,text)",
        "app.transfer_ownership(uuid,uuid)",
        "app.broadcast_notification(jsonb,text)",
        "app.cancel_broadcast(uuid)",
        "app.cancel_generation(uuid,text)",
        "app.analyze_profile(uuid,text)",
        "app.cancel_chat_reply(uuid)",
        "app.chat_written(uuid)",
        "app.send_chat_message(uuid,text,text)",
        "app.change_user(jsonb)",
        "app.cancel_plan()",
        "app.change_plan(text)",
        "app.give_plan_as_admin(uuid,text,timestamp with time zone,text,text)",
        "app.create_generation(text,uuid,jsonb,text,uuid)",
        "app.credit_usage(uuid,text,timestamp with time zone,timestamp with time zone)",
        "app.create_upload(text,bigint)",
        "app.usage_by_day(integer)",
        "app.job_queue()",
        "app.open_holds(integer)",
        "app.traffic_by_hour(integer,double precision[])",
        "app.delete_generation(uuid)",
        "app.delete_upload(uuid)",
        "app.has_high_quality(uuid)",
        "app.measured(anyelement,integer)",
        "app.quotas(uuid)",
        "app.give_credits_as_admin(uuid,integer,timestamp with time zone,text,text)",
        "app.delete_user(uuid,interval,text,text)",
        "app.demote_user(uuid,text,text)",
        "app.is_admin()",
        "app.confirm_user_email(uuid,text,text)",
        "app.create_user(jsonb,text,text)",
        "app.lock_user(uuid,text,text)",
        "app.send_password_reset(uuid,text,text)",
        "app.set_user_password(uuid,text,text,text)",
        "app.sign_out_user(uuid,uuid,text,text)",
        "app.mark_all_notifications_read(timestamp with time zone)",
        "app.promote_user(uuid,text,text)",
        "app.turn_switch_as_admin(text,boolean,text)",
        "app.unlock_user(uuid,text,text)",
        "app.required_admin_id()",
        "app.send_notification(uuid,text,text,text,jsonb,text)",
        "app.set_tool_active(text,boolean)",
        "app.user_of_email_key(text)",
        "app.refuse(text,text,jsonb)",
        "app.refuse_nobody()",
        "app.required_user_id()",
        "app.retry_dead_job(uuid)",
        "app.seen_of_events()",
        "app.spend_credits(integer,text,text,text)",
        "app.unknown_references(jsonb,jsonb)",
        "app.user_id()",
        "app.uuid_v7()",
        *REREADING,
        *WRITING,
    },
}
# Runs the engine's selection with its caller's rights: it must find the tables by their names.
READS_TABLES_AS_ITS_CALLER = {"app.answer(uuid,text,jsonb)"}

POLICIES_SQL = """
select schemaname || '.' || tablename as table_name, policyname, permissive, roles::text[], cmd,
       qual, with_check
from pg_policies where schemaname in ('public', 'queue')
"""
# Whole-table and single-column privileges alike, of everybody but the owner.
PRIVILEGES_SQL = """
with granted as (
    select c.oid, c.relowner, null::name as column_name, acl.*
    from pg_class c, aclexplode(c.relacl) acl where c.relkind in ('r', 'p', 'v', 'm')
    union all
    select c.oid, c.relowner, a.attname, acl.*
    from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) acl)
select n.nspname || '.' || c.relname as table_name, g.column_name, g.privilege_type,
       g.is_grantable, case g.grantee when 0 then 'public' else g.grantee::regrole::text end as who
from granted g join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'queue') and g.grantee <> g.relowner
"""
TRIGGERS_SQL = """
select c.relname as table_name, t.tgname as name, pg_get_triggerdef(t.oid) as definition, t.tgenabled
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where c.relnamespace = 'public'::regnamespace and not t.tgisinternal
"""
FUNCTIONS_SQL = f"""
select p.oid::regprocedure::text as signature, n.nspname as schema, p.prosecdef as definer,
       p.proconfig as settings, p.prosqlbody is not null as bound,
       exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
               where acl.grantee = 0) as public_may_execute,
       array(select r from unnest($1::text[]) r
             where has_function_privilege(r, p.oid, 'execute')) as callers
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {OUR_SCHEMAS}
"""
UNINDEXED_SQL = """
select k.conrelid::regclass::text || '.' || k.conname from pg_constraint k
where k.contype = 'f' and not exists (
    select from pg_index i where i.indrelid = k.conrelid and i.indisvalid
    and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = (
        select format('(%I IS NOT NULL)', a.attname) from pg_attribute a
        where a.attrelid = k.conrelid and array[a.attnum] = k.conkey))
    and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey)
"""


def as_set(rows: list[asyncpg.Record]) -> set[str]:
    """Rows as texts that can be compared and read."""
    return {str(tuple(row)) for row in rows}


@pytest.fixture
async def superuser(
    cluster: EmbeddedDatabase, database: Database
) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in a transaction that is rolled back."""
    connection = await asyncpg.connect(cluster.superuser_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def access_objects(connection: asyncpg.Connection) -> dict[str, set[str]]:
    """The policies, privileges and watching triggers of every table."""
    queries = {"policies": POLICIES_SQL, "grants": PRIVILEGES_SQL, "triggers": TRIGGERS_SQL}
    return {name: as_set(await connection.fetch(sql)) for name, sql in queries.items()}


async def declare_again(connection: asyncpg.Connection) -> None:
    """Drops all access objects of the declared tables and makes what the declarations say."""
    for policy in await connection.fetch("select * from pg_policies where schemaname = 'public'"):
        await connection.execute(f"drop policy {policy['policyname']} on {policy['tablename']}")
    for trigger in await connection.fetch(TRIGGERS_SQL):
        await connection.execute(f"drop trigger {trigger['name']} on {trigger['table_name']}")
    await connection.execute(
        f"revoke all on all tables in schema public from public, {', '.join(ROLES)}"
    )
    for model in models().values():
        table = model.metadata.tables[model.__tablename__]
        for statement in declared_statements(table, model):
            await connection.execute(statement)


async def test_policies_privileges_and_triggers_are_the_declared_ones(
    superuser: asyncpg.Connection,
) -> None:
    migrated = await access_objects(superuser)
    await declare_again(superuser)
    assert migrated == await access_objects(superuser)
    assert all(migrated.values())


@pytest.mark.parametrize(
    "mutation",
    [
        "alter policy owner_select on profiles using (user_id = app.user_id())",
        "create policy more on profiles for select to anon using (false)",
        "grant select (name) on profiles to anon",
        "grant select on profiles to authenticated",
        "grant update (balance) on wallets to authenticated",
        "alter table generations disable trigger record_event",
        "drop trigger record_event on wallets",
        "drop trigger count_update on profiles",
        "drop trigger lifecycle_insert on users",
        "alter table credit_holds disable trigger lifecycle_update",
        "drop trigger refuse_truncate on credit_entries",
    ],
)
async def test_what_was_not_declared_is_noticed(
    superuser: asyncpg.Connection, mutation: str
) -> None:
    await superuser.execute(mutation)
    migrated = await access_objects(superuser)
    await declare_again(superuser)
    assert migrated != await access_objects(superuser)


async def test_the_queues_tables_are_open_to_the_service_alone(
    superuser: asyncpg.Connection,
) -> None:
    rows = await superuser.fetch(f"select * from ({POLICIES_SQL}) p where table_name ~ '^queue'")
    assert {(row["policyname"], *row["roles"]) for row in rows} == {("service_all", "service")}
    rows = await superuser.fetch(f"select * from ({PRIVILEGES_SQL}) g where table_name ~ '^queue'")
    assert {row["who"] for row in rows} == {"service"}
    for role in ("anon", "authenticated"):
        assert not await superuser.fetchval(
            "select has_schema_privilege($1, 'queue', 'usage')", role
        )


async def test_every_table_has_row_level_security(superuser: asyncpg.Connection) -> None:
    rows = await superuser.fetch(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        f" where {OUR_SCHEMAS} and c.relkind in ('r', 'p') and not c.relrowsecurity"
    )
    assert as_set(rows) == set()


async def test_every_policy_reads_the_actor_once_for_a_statement(
    superuser: asyncpg.Connection,
) -> None:
    rows = await superuser.fetch(f"select * from ({POLICIES_SQL}) p")
    conditions = [c for row in rows for c in (row["qual"], row["with_check"]) if c]
    asked = re.compile(
        r"\( SELECT app\.(user_id|is_admin|own_\w+|\w+_ids)\((?:'{[A-Z,]*}'::text\[\])?\) AS \1\)"
    )
    bare = [asked.sub("", condition) for condition in conditions]
    assert [c for c in bare if "app." in c] == []
    assert bare != conditions


async def test_views_run_with_their_callers_rights(superuser: asyncpg.Connection) -> None:
    rows = await superuser.fetch(
        f"select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        f" where {OUR_SCHEMAS} and c.relkind in ('v', 'm')"
        " and not coalesce(c.reloptions, '{}') @> '{security_invoker=true}'"
    )
    assert as_set(rows) == set()


async def test_functions_are_closed_unless_listed(superuser: asyncpg.Connection) -> None:
    functions = await superuser.fetch(FUNCTIONS_SQL, list(ROLES))
    assert [f["signature"] for f in functions if f["public_may_execute"]] == []
    for role, expected in CALLABLE.items():
        assert {f["signature"] for f in functions if role in f["callers"]} == expected


async def test_functions_find_nothing_that_a_caller_could_plant(
    superuser: asyncpg.Connection,
) -> None:
    functions = await superuser.fetch(FUNCTIONS_SQL, list(ROLES))
    assert sum(f["definer"] for f in functions) > 10
    fixed = "search_path=pg_catalog, pg_temp"
    loose = {
        f["signature"]
        for f in functions
        if fixed not in (f["settings"] or ()) and not f["bound"]  # bound once, when it was made
    }
    assert loose == READS_TABLES_AS_ITS_CALLER
    assert not any(f["definer"] for f in functions if f["signature"] in loose | REREADING | WRITING)


async def test_every_foreign_key_is_indexed(superuser: asyncpg.Connection) -> None:
    assert as_set(await superuser.fetch(UNINDEXED_SQL)) == set()
    await superuser.execute("drop index ix_uploads_user_id_created_at_id")
    assert len(await superuser.fetch(UNINDEXED_SQL)) == 1


async def test_login_roles_have_no_powers(superuser: asyncpg.Connection) -> None:
    rows = await superuser.fetch(
        "select * from pg_roles where rolname = any($1) and rolcanlogin", list(ROLES)
    )
    assert len(rows) == 3
    powers = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    assert [(row["rolname"], p) for row in rows for p in powers if row[p]] == []
    owned = "select * from pg_shdepend where deptype = 'o' and refobjid = any($1)"
    member = "select * from pg_auth_members where member = any($1)"
    creates = (
        "select nspname, r from pg_namespace, unnest($1::oid[]) r"
        " where has_schema_privilege(r, oid, 'create')"
    )
    for sql in (owned, member, creates):
        assert as_set(await superuser.fetch(sql, [row["oid"] for row in rows])) == set()


UNSAFE = [
    ("create table climbing (); alter table climbing owner to service", "drop table climbing"),
    ("alter role authenticated bypassrls", "alter role authenticated nobypassrls"),
    ("alter role anon superuser", "alter role anon nosuperuser"),
    ("create role high; grant high to authenticated", "drop role high"),
    ("grant service to anon", "revoke service from anon"),
]


@pytest.mark.parametrize(("unsafe", "undo"), UNSAFE)
async def test_the_server_refuses_an_unsafe_role(
    cluster: EmbeddedDatabase, database: Database, settings: Settings, unsafe: str, undo: str
) -> None:
    superuser = await asyncpg.connect(cluster.superuser_url)
    try:
        await superuser.execute(unsafe)
        with pytest.raises(UnsafeRoleError):
            await Database.connect(cluster.owner_url, settings)
    finally:
        await superuser.execute(undo)
        await superuser.close()
    safe = await Database.connect(cluster.owner_url, settings)
    await safe.close()


def test_an_index_finds_the_rows_that_have_expired() -> None:
    declared = [(model, expiry) for model in models().values() for expiry in model.expiries]
    assert len(declared) >= 9
    for model, expiry in declared:
        table = model.metadata.tables[model.__tablename__]
        keys = [list(table.primary_key.columns), *(list(index.columns) for index in table.indexes)]
        order = expiry.order.split(", ")
        found = [columns for columns in keys if [c.name for c in columns][: len(order)] == order]
        assert found, f"{table.name} has no index on {expiry.order}"
