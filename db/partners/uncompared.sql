-- Partners whose compatibility nobody has asked to work out: they were connected before there was one, or an import
-- brought them. And those whose score, which is shown alone, is a day old: it was kept while answers changed.

-- Queues the comparison of up to `at_most` such pairs that have profiles of one survey. Returns how many
-- were found; one that is in line already is not queued again.
create or replace function app.queue_missing_comparisons(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    pair record;
    found_count integer := 0;
begin
    for pair in select p.user_id as one, p.partner_id as other from public.partners p
        join public.survey_profiles mine on mine.current_of = p.user_id
        join public.survey_profiles theirs on theirs.current_of = p.partner_id and theirs.survey_id = mine.survey_id
        where p.status = 'CONNECTED' and p.user_id < p.partner_id
            and (not exists (select from public.compatibilities c where c.connection_id = p.id)
                or exists (select from public.partners reader
                    join public.compatibilities c on c.connection_id = reader.id
                    where (reader.user_id, reader.partner_id) in ((p.user_id, p.partner_id), (p.partner_id, p.user_id))
                        and reader.shared = 'DEMOGRAPHICS' and c.created_at < now() - interval '1 day'))
        order by p.compared_at nulls first, p.id limit at_most
    loop
        perform app.enqueue_once('compare_partners', jsonb_build_object('one', pair.one, 'other', pair.other),
            concat_ws(':', 'compare', pair.one, pair.other, 'missing'), 0);
        found_count := found_count + 1;
    end loop;
    return found_count;
end;
$$;

revoke execute on function app.queue_missing_comparisons(integer) from public;
grant execute on function app.queue_missing_comparisons(integer) to service;
