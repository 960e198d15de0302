-- A guest's surveys become a member's. Tables that declare `Move` or `Join` follow behind these
-- functions, which resolve first what both have.

-- Of two runs in progress of a survey the one saved last goes on. Profiles are numbered on from the
-- member's, and the newest of both is the current one. Returns how many runs moved.
create or replace function app.merge_survey_runs(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    given_up uuid[];
    profile record;
    numbered integer := (select coalesce(max(p.version), 0) from public.survey_profiles p where p.user_id = member);
    newest public.survey_profiles;
    moved bigint;
begin
    select array_agg(case when g.saved_at > m.saved_at then m.id else g.id end) into given_up
    from public.survey_runs g join public.survey_runs m using (survey_id)
    where g.user_id = guest and m.user_id = member and g.status = 'IN_PROGRESS' and m.status = 'IN_PROGRESS';
    update public.survey_runs r set status = 'ABANDONED', ended_at = clock_timestamp() where r.id = any (given_up);
    -- From the last, so that no number is there twice in between.
    for profile in
        select p.id, p.version from public.survey_profiles p where p.user_id = guest order by p.version desc
    loop
        update public.survey_profiles p set version = profile.version + numbered where p.id = profile.id;
    end loop;
    select * into newest from public.survey_profiles p
    where p.user_id in (guest, member) and p.is_current order by p.created_at desc, p.id desc limit 1;
    -- It is the newest version, too, whoever made it.
    update public.survey_profiles p set version = 1 + (select max(o.version) from public.survey_profiles o
        where o.user_id in (guest, member))
    where p.id = newest.id and exists (select from public.survey_profiles o
        where o.user_id in (guest, member) and o.version > newest.version);
    update public.survey_profiles p set is_current = false
    where p.user_id in (guest, member) and p.is_current and p.id <> newest.id;
    update public.survey_answers a set is_current = false
    where a.user_id in (guest, member) and a.is_current and a.run_id <> newest.run_id;
    update public.boundaries b set profile_id = newest.id
    where b.user_id in (guest, member) and b.profile_id is distinct from newest.id;
    with gone as (
        update public.survey_runs r set user_id = member where r.user_id = guest returning 1)
    select count(*) into moved from gone;
    perform app.queue_comparisons(member);
    return moved;
end;
$$;

-- Of what both draw a boundary at, the stricter one is the member's. Returns how many moved.
create or replace function app.merge_boundaries(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved bigint;
begin
    update public.boundaries m set kind = g.kind, source = g.source, changed_at = g.changed_at
    from public.boundaries g
    where m.user_id = member and g.user_id = guest and g.item_id = m.item_id
        and app.boundary_rank(g.kind) > app.boundary_rank(m.kind);
    delete from public.boundaries g using public.boundaries m
    where m.user_id = member and g.user_id = guest and g.item_id = m.item_id;
    with gone as (
        update public.boundaries b set user_id = member where b.user_id = guest returning 1)
    select count(*) into moved from gone;
    return moved;
end;
$$;

create or replace function app.boundary_rank(kind text) returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case kind when 'HARD' then 2 when 'SOFT' then 1 else 0 end;
$$;

-- The member's own stay; without them the guest's are theirs. Returns how many moved.
create or replace function app.merge_demographics(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved bigint;
begin
    delete from public.demographics d where d.user_id = guest
        and exists (select from public.demographics m where m.user_id = member);
    with gone as (
        update public.demographics d set user_id = member where d.user_id = guest returning 1)
    select count(*) into moved from gone;
    return moved;
end;
$$;

-- Each version counts once, and what either of the two has withdrawn since they agreed is withdrawn. Returns how many
-- moved.
create or replace function app.merge_consents(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved bigint;
begin
    update public.consents c set withdrawn_at = since.at
    from (select w.document_id, max(w.withdrawn_at) as at from public.consents w
        where w.user_id in (guest, member) group by w.document_id) since
    where c.user_id in (guest, member) and c.document_id = since.document_id and c.withdrawn_at is null
        and c.created_at < since.at;
    delete from public.consents g using public.consents m
    where m.user_id = member and g.user_id = guest and g.document_id = m.document_id and g.version = m.version
        and g.withdrawn_at is null and m.withdrawn_at is null;
    with gone as (
        update public.consents c set user_id = member where c.user_id = guest returning 1)
    select count(*) into moved from gone;
    return moved;
end;
$$;

revoke execute on function app.merge_survey_runs(uuid, uuid), app.merge_boundaries(uuid, uuid),
    app.boundary_rank(text), app.merge_demographics(uuid, uuid),
    app.merge_consents(uuid, uuid) from public;
