-- Compatibility of partners: when it is worked out anew, and where the result is kept.

-- Queues the comparison of two partners, in the transaction of what it is made anew for.
create or replace function app.queue_comparison(one uuid, other uuid) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    -- One for each transaction: a comparison that runs already may have read what was before.
    select app.enqueue_once('compare_partners', jsonb_build_object('one', least(one, other), 'other', greatest(one, other)),
        concat_ws(':', 'compare', least(one, other), greatest(one, other), pg_current_xact_id()), 5);
$$;

-- The same for a user and each partner.
create or replace function app.queue_comparisons(wanted uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select app.queue_comparison(wanted, p.partner_id) from public.partners p
    where p.user_id = wanted and p.status = 'CONNECTED';
$$;

-- Has a user compared with each partner anew. What was made of a profile that is replaced is not shown any more, but
-- for a score that is shown alone: it stays until the comparison, which says whether it may change.
create or replace function app.compare_with_partners(wanted uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select from public.compatibilities c where c.user_id = wanted or c.partner_id = wanted
    order by c.connection_id for update;
    delete from public.compatibilities c
    where (c.user_id = wanted or c.partner_id = wanted)
        and exists (select from public.survey_profiles p
            where p.id in (c.own_profile_id, c.partner_profile_id) and not p.is_current)
        and not exists (select from public.partners reader
            join public.survey_profiles mine on mine.current_of = reader.user_id
            join public.survey_profiles theirs on theirs.current_of = reader.partner_id
                and theirs.survey_id = mine.survey_id
            where reader.id = c.connection_id and reader.shared = 'DEMOGRAPHICS');
    select app.queue_comparisons(wanted);
$$;

-- What two partners are compared by, while the lock of the two is held: the `items` of their survey and, of each
-- user's newest profile, power, domains, arousal, answers and hard limits. Null where there is nothing to compare:
-- the two are not connected, or have no profiles of the same survey.
create or replace function app.read_comparison(one uuid, other uuid) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    first public.survey_profiles;
    second public.survey_profiles;
begin
    perform app.lock_pair(one, other);
    select * into first from public.survey_profiles p where p.current_of = one;
    select * into second from public.survey_profiles p where p.current_of = other;
    if first.survey_id is distinct from second.survey_id or first.id is null
        or not exists (select from public.partners p
            where p.user_id = one and p.partner_id = other and p.status = 'CONNECTED') then
        return null;
    end if;
    return jsonb_build_object('first', app.compared_side(first.id), 'second', app.compared_side(second.id), 'items',
        (select jsonb_agg(jsonb_build_object('item_id', i.item_id, 'question', i.question, 'section', i.section,
            'side', i.side, 'limit_keys', i.limit_keys) order by i.sort_order)
        from public.survey_items i where i.survey_id = first.survey_id and i.kind = 'YES_MAYBE_NO'));
end;
$$;

create or replace function app.compared_side(wanted uuid) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('profile_id', profile.id, 'orientation', profile.power_orientation,
        'confidence', profile.power_confidence,
        'domains', (select coalesce(jsonb_object_agg(s.domain, s.score), '{}')
            from public.survey_domain_scores s where s.profile_id = profile.id),
        'measures', (select coalesce(jsonb_object_agg(m.measure, m.score), '{}')
            from public.survey_measures m where m.profile_id = profile.id and m.score is not null),
        'answers', (select coalesce(jsonb_object_agg(a.item_id, a.score), '{}')
            from public.survey_answers a where a.user_id = profile.user_id and a.is_current and a.score is not null),
        'limits', (select coalesce(jsonb_agg(b.item_id), '[]')
            from public.boundaries b where b.user_id = profile.user_id and b.kind = 'HARD'))
    from public.survey_profiles profile where profile.id = wanted;
$$;

-- Keeps what a comparison found, in place of what was there: `results` hold, for each user's id, the rows that are
-- theirs. Tells both, but for whom is shown the score alone, which is the same. That one changes at most once a day:
-- whoever submits one answer after the other would else read the partner's limits and answers off it.
create or replace function app.store_comparison(one uuid, other uuid, results jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    connection public.partners;
    given jsonb;
    earlier public.compatibilities;
    is_kept boolean;
begin
    -- First what a new profile touches as well, in its order: so one of the two waits, and neither for the other.
    perform from public.survey_profiles p
    where p.id in (select (g.value ->> 'own_profile_id')::uuid from jsonb_each(results) g) order by p.id for key share;
    perform from public.partners p where (p.user_id, p.partner_id) in ((one, other), (other, one))
    order by p.user_id for no key update;
    perform from public.compatibilities c where (c.user_id, c.partner_id) in ((one, other), (other, one))
    order by c.connection_id for update;
    for connection in
        select * from public.partners p where (p.user_id, p.partner_id) in ((one, other), (other, one)) order by p.user_id
    loop
        given := results -> connection.user_id::text;
        delete from public.compatibilities c where c.connection_id = connection.id returning * into earlier;
        is_kept := connection.shared = 'DEMOGRAPHICS' and earlier.created_at > now() - interval '1 day';
        if is_kept then
            given := given || jsonb_build_object('score', earlier.score, 'word', earlier.word);
        end if;
        insert into public.compatibilities (connection_id, user_id, partner_id, own_profile_id, partner_profile_id,
            score, word, created_at)
        select connection.id, connection.user_id, connection.partner_id, g.own_profile_id, g.partner_profile_id,
            g.score, g.word, case when is_kept then earlier.created_at else now() end
        from jsonb_populate_record(null::public.compatibilities, given) g;
        insert into public.compatibility_parts (connection_id, user_id, partner_id, kind, name, score, points,
            sort_order)
        select connection.id, connection.user_id, connection.partner_id, g.kind, g.name, g.score, g.points, g.sort_order
        from jsonb_populate_recordset(null::public.compatibility_parts, given -> 'parts') g;
        insert into public.compatibility_items (connection_id, user_id, partner_id, kind, item_id)
        select connection.id, connection.user_id, connection.partner_id, g.kind, g.item_id
        from jsonb_populate_recordset(null::public.compatibility_items, given -> 'items') g;
        insert into public.compatibility_conflicts (connection_id, user_id, partner_id, limit_key, is_own, item_ids)
        select connection.id, connection.user_id, connection.partner_id, g.limit_key, g.is_own, g.item_ids
        from jsonb_populate_recordset(null::public.compatibility_conflicts, given -> 'conflicts') g;
        update public.partners p set compared_at = clock_timestamp()
        where p.id = connection.id and (p.shared <> 'DEMOGRAPHICS'
            or earlier.score is distinct from (given ->> 'score')::integer);
    end loop;
end;
$$;

revoke execute on function app.queue_comparison(uuid, uuid), app.queue_comparisons(uuid), app.compare_with_partners(uuid),
    app.read_comparison(uuid, uuid), app.compared_side(uuid),
    app.store_comparison(uuid, uuid, jsonb) from public;
grant execute on function app.read_comparison(uuid, uuid), app.store_comparison(uuid, uuid, jsonb) to service;
