-- What the catalog answers to those who read parameters, and what workers tell it of their provider.

-- The names of parameters that ought to name a row of the catalog (`x-catalog` in their schema) and
-- name none. A row is named by its key or by its global id.
create or replace function app.unknown_references(parameters_schema jsonb, parameters jsonb) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(p.name order by p.name), '{}')
    from jsonb_each(parameters_schema -> 'properties') as p (name, rule)
    where jsonb_typeof(parameters -> p.name) = 'string' and not case p.rule ->> 'x-catalog'
        when 'hairstyles' then exists (
            select from public.hairstyles h
            where h.id = regexp_replace(parameters ->> p.name, '^hairstyle_', ''))
        when 'hair_colors' then exists (
            select from public.hair_colors c where c.hex_code = lower(parameters ->> p.name))
        when 'skin_colors' then exists (
            select from public.skin_colors c where c.hex_code = lower(parameters ->> p.name))
        else not p.rule ? 'x-catalog'
    end;
$$;

-- Marks the tools of which the provider makes only previews: all but those it makes; none when it
-- makes every tool (null).
create or replace function app.note_made_tools(made text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    update public.tools t set is_preview = not coalesce(t.id = any(made), true)
    where t.is_preview <> not coalesce(t.id = any(made), true);
$$;

revoke execute on function
    app.unknown_references(jsonb, jsonb), app.note_made_tools(text[])
from public;
grant execute on function app.unknown_references(jsonb, jsonb) to authenticated;
grant execute on function app.note_made_tools(text[]) to service;
