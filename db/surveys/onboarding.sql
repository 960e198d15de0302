-- Onboarding: what somebody has to do before they answer a survey or play.

-- The version in force of each document: the newest whose time has come.
create or replace function app.documents_in_force() returns setof public.legal_documents
language sql stable set search_path = pg_catalog, pg_temp as $$
    select distinct on (d.document_id) d.* from public.legal_documents d
    where d.effective_at <= now() order by d.document_id, d.effective_at desc, d.version desc;
$$;

-- Whether somebody has agreed to every document that has to be agreed to now. Volatile, as those below
-- are, so that a mutation's payload sees what the mutation did.
create or replace function app.has_consented(owner_id uuid) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return not exists (select from app.documents_in_force() d
        where d.is_required and not exists (select from public.consents c
            where c.user_id = owner_id and c.document_id = d.document_id and c.version = d.version
                and c.withdrawn_at is null));
end;
$$;

-- Whether somebody has said who they are, so that they may play.
create or replace function app.has_demographics(owner_id uuid) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return exists (select from public.demographics d where d.user_id = owner_id);
end;
$$;

-- Whether somebody has a profile, so that what they are offered is chosen for them.
create or replace function app.has_survey_profile(owner_id uuid) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return exists (select from public.survey_profiles p where p.user_id = owner_id);
end;
$$;

-- Whether all of some people have agreed to the version in force of a document that nobody has to agree to.
create or replace function app.have_agreed(people uuid[], wanted_document text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from app.documents_in_force() d where d.document_id = wanted_document
        and not exists (select from unnest(people) as person (id)
            where not exists (select from public.consents c
                where c.user_id = person.id and c.document_id = d.document_id and c.version = d.version
                    and c.withdrawn_at is null)));
$$;

-- Whether somebody has said anything of what they will not do.
create or replace function app.has_said_limits(owner_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.survey_profiles p where p.user_id = owner_id)
        or exists (select from public.boundaries b where b.user_id = owner_id);
$$;

-- Refuses who has not agreed to the documents in force.
create or replace function app.require_consents(owner_id uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not app.has_consented(owner_id) then
        perform app.refuse('ONBOARDING_REQUIRED', 'Agree to the documents in force first, with `recordConsent`.',
            '{"next_step": "CONSENT"}');
    end if;
end;
$$;

-- Refuses who has agreed to no version of a document in force. Who has agreed to an earlier one is let through: a new
-- text must not stand between a player and a no.
create or replace function app.require_any_consents(owner_id uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from app.documents_in_force() d
        where d.is_required and not exists (select from public.consents c
            where c.user_id = owner_id and c.document_id = d.document_id and c.withdrawn_at is null)) then
        perform app.require_consents(owner_id);
    end if;
end;
$$;

-- Refuses who may not play at a level: without consents or demographics at none, without a word of their limits not
-- at X.
create or replace function app.require_onboarding(owner_id uuid, wanted_level text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform app.require_consents(owner_id);
    if not app.has_demographics(owner_id) then
        perform app.refuse('ONBOARDING_REQUIRED', 'Say who you are first, with `updateDemographics`.',
            '{"next_step": "DEMOGRAPHICS"}');
    elsif wanted_level = 'X' and not app.has_said_limits(owner_id) then
        perform app.refuse('ONBOARDING_REQUIRED', 'Level X is for who has said what they will not do: submit a survey, '
            || 'or set a boundary with `setBoundary`. Or play at a lower level.', '{"next_step": "SURVEY"}');
    end if;
end;
$$;

revoke execute on function app.documents_in_force(), app.has_consented(uuid), app.has_demographics(uuid),
    app.has_survey_profile(uuid), app.have_agreed(uuid[], text), app.has_said_limits(uuid),
    app.require_consents(uuid), app.require_any_consents(uuid), app.require_onboarding(uuid, text) from public;
-- Documents name them whoever asks; they read as their caller.
grant execute on function app.documents_in_force(), app.has_consented(uuid), app.has_demographics(uuid),
    app.has_survey_profile(uuid) to anon, authenticated;
