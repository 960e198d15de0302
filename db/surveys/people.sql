-- What people say of themselves beside surveys: boundaries, demographics, and what they agree to.

-- Sets a boundary of the caller's at an item or a limit of any survey, NONE for where they want none. It takes a consent
-- to some version of each document in force. Returns it.
create or replace function app.set_boundary(wanted_item text, wanted_kind text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    changed uuid;
begin
    if not exists (select from public.survey_items i where i.item_id = wanted_item and i.kind = 'YES_MAYBE_NO'
        or wanted_item = any (i.options)) then
        perform app.refuse('BAD_USER_INPUT', 'No survey has such an item or limit.',
            '{"path": ["input", "itemId"]}');
    end if;
    perform from public.users u where u.id = actor_id for key share;
    perform app.require_any_consents(actor_id);
    insert into public.boundaries as b (user_id, profile_id, item_id, kind, source, changed_at)
    select actor_id, (select p.id from public.survey_profiles p where p.user_id = actor_id and p.is_current),
        wanted_item, wanted_kind, 'SET', clock_timestamp()
    on conflict (user_id, item_id) do update
    set kind = excluded.kind, source = 'SET', changed_at = excluded.changed_at
    returning b.id into changed;
    perform app.tell_partners(actor_id, 'ALL');
    -- By limits partners are compared, by boundaries at items they are not.
    if wanted_item !~ '^[A-Z]' then
        perform app.compare_with_partners(actor_id);
    end if;
    return changed;
end;
$$;

-- Changes what is given of the caller's demographics, which takes consent to the documents in force; the first time a
-- name and anatomy are needed.
create or replace function app.update_demographics(given jsonb) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    missing text;
begin
    perform from public.users u where u.id = actor_id for no key update;
    perform app.require_consents(actor_id);
    update public.demographics d set
        name = coalesce(given ->> 'name', d.name),
        gender = coalesce(given ->> 'gender', d.gender),
        orientation = coalesce(given ->> 'orientation', d.orientation),
        relationship = coalesce(given ->> 'relationship', d.relationship),
        anatomy_self = coalesce(app.texts_of(given -> 'anatomy_self'), d.anatomy_self),
        anatomy_preference = coalesce(app.texts_of(given -> 'anatomy_preference'), d.anatomy_preference),
        updated_at = clock_timestamp()
    where d.user_id = actor_id;
    if found then
        perform app.tell_of_demographics(actor_id);
        return actor_id;
    end if;
    select f.field into missing
    from (values (1, 'name', 'name'), (2, 'anatomy_self', 'anatomySelf'),
        (3, 'anatomy_preference', 'anatomyPreference')) f (place, name, field)
    where not given ? f.name order by f.place limit 1;
    if missing is not null then
        perform app.refuse('BAD_USER_INPUT', format('%s must be given the first time.', missing),
            jsonb_build_object('path', jsonb_build_array('input', missing)));
    end if;
    insert into public.demographics
        (user_id, name, gender, orientation, relationship, anatomy_self, anatomy_preference)
    values (actor_id, given ->> 'name', coalesce(given ->> 'gender', 'RATHER_NOT_SAY'),
        coalesce(given ->> 'orientation', 'RATHER_NOT_SAY'), coalesce(given ->> 'relationship', 'RATHER_NOT_SAY'),
        app.texts_of(given -> 'anatomy_self'), app.texts_of(given -> 'anatomy_preference'));
    perform app.tell_of_demographics(actor_id);
    return actor_id;
end;
$$;

-- Has partners see that somebody's demographics changed, and the name that follows from them.
create or replace function app.tell_of_demographics(changed uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select app.rename_in_lists(changed);
    select app.tell_partners(changed, 'ALL', 'OVERLAPPING', 'DEMOGRAPHICS');
$$;

-- A JSON list as an array, each text once, in order; null for null.
create or replace function app.texts_of(list jsonb) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array_agg(distinct t.value order by t.value) from jsonb_array_elements_text(list) t (value);
$$;

-- Records that the caller agrees to a version of a document that is in force or will be. Agreeing again
-- changes nothing more. Returns it.
create or replace function app.record_consent(wanted text, wanted_version text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    given uuid;
begin
    if not exists (select from public.legal_documents d
        where d.document_id = wanted and d.version = wanted_version) then
        perform app.refuse('NOT_FOUND', 'There is no such version of a document.',
            '{"path": ["input", "version"]}');
    end if;
    perform from public.users u where u.id = actor_id for key share;
    insert into public.consents (user_id, document_id, version) values (actor_id, wanted, wanted_version)
    on conflict (user_id, document_id, version) where withdrawn_at is null do nothing returning id into given;
    return coalesce(given, (select c.id from public.consents c
        where c.user_id = actor_id and c.document_id = wanted and c.version = wanted_version and c.withdrawn_at is null));
end;
$$;

-- Withdraws the caller's consent to a document, to every version of it, at once, and returns the newest that they gave.
-- Withdrawing again changes nothing more. Without a document that has to be agreed to they leave what they play; what an
-- AI wrote by their answers goes with `ai-activities`.
create or replace function app.withdraw_consent(wanted text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    kept constant integer := 10;
    actor_id uuid := app.required_user_id();
    newest uuid;
begin
    perform from public.users u where u.id = actor_id for no key update;
    update public.consents c set withdrawn_at = clock_timestamp()
    where c.user_id = actor_id and c.document_id = wanted and c.withdrawn_at is null;
    select c.id into newest from public.consents c
    where c.user_id = actor_id and c.document_id = wanted order by c.created_at desc, c.id desc limit 1;
    if newest is null then
        perform app.refuse('NOT_FOUND', 'You have agreed to no such document.', '{"path": ["input", "documentId"]}');
    end if;
    delete from public.consents c where c.id in (
        select o.id from public.consents o
        where o.user_id = actor_id and o.document_id = wanted and o.withdrawn_at is not null
        order by o.created_at desc, o.id desc offset kept);
    if wanted = 'ai-activities' then
        perform app.drop_written_activities(actor_id);
    end if;
    if not app.has_consented(actor_id) then
        while app.leave_play_sessions(actor_id, 1000) > 0 loop
        end loop;
    end if;
    return newest;
end;
$$;

revoke execute on function app.set_boundary(text, text), app.update_demographics(jsonb),
    app.tell_of_demographics(uuid), app.texts_of(jsonb), app.record_consent(text, text),
    app.withdraw_consent(text) from public;
grant execute on function app.set_boundary(text, text), app.update_demographics(jsonb),
    app.record_consent(text, text), app.withdraw_consent(text) to authenticated;
