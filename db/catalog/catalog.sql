-- What the catalog answers to those who read parameters, and what workers tell it of their provider.

-- What the parameters that ought to name a row of the catalog (`x-catalog` in their schema) name: the keys of the
-- rows found, by the parameter's name; it may stand under an older name (`x-aliases`). A row is named by its key
-- or by its global id, a hairstyle by its name as well.
create or replace function app.catalog_references(parameters_schema jsonb, parameters jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_object_agg(given.name, case given.catalog
        when 'hairstyles' then coalesce(
            (select jsonb_agg(h.id) from public.hairstyles h
             where h.is_active and h.id = regexp_replace(given.value, '^hairstyle_', '')),
            (select jsonb_agg(h.id order by h.id) from public.hairstyles h
             where h.is_active and h.name = given.value))
        when 'hair_colors' then
            (select jsonb_agg(c.hex_code) from public.hair_colors c where c.hex_code = lower(given.value))
        when 'skin_colors' then
            (select jsonb_agg(c.hex_code) from public.skin_colors c where c.hex_code = lower(given.value))
        end), '{}')
    from jsonb_each(parameters_schema -> 'properties') as p (name, rule)
    cross join lateral (
        select p.name, p.rule ->> 'x-catalog' as catalog, parameters ->> k.name as value
        from (select p.name, 0 as place union all
              select a.name, a.place from jsonb_array_elements_text(p.rule -> 'x-aliases')
                  with ordinality as a (name, place)) as k
        where jsonb_typeof(parameters -> k.name) = 'string' order by k.place limit 1) as given
    where p.rule ? 'x-catalog';
$$;

-- Refuses a hairstyle that the plan of who asks for it does not include; who has no plan has none of those.
create or replace function app.check_plan_has(owner_id uuid, parameters_schema jsonb, parameters jsonb) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    asked_in text;
    needed public.plans;
begin
    select p.name into asked_in from jsonb_each(parameters_schema -> 'properties') as p (name, rule)
    join public.hairstyles h on h.id = parameters ->> p.name
    where p.rule ->> 'x-catalog' = 'hairstyles' and h.is_pro limit 1;
    if not found or exists (
        select from public.users u join public.plans p on p.id = u.plan_id
        where u.id = owner_id and p.has_pro_hairstyles) then
        return;
    end if;
    select * into needed from public.plans p where p.has_pro_hairstyles
    order by p.price_cents, p.sort_order, p.id limit 1;
    if not found then
        perform app.refuse('PLAN_REQUIRED', 'No plan includes this hairstyle. Choose another.',
            jsonb_build_object('path', array['input', 'parameters', asked_in], 'plan_id', null));
    end if;
    perform app.refuse('PLAN_REQUIRED',
        format('This hairstyle needs the plan %s. Change to it, then try again.', needed.name),
        jsonb_build_object('path', array['input', 'parameters', asked_in], 'plan_id', needed.id));
end;
$$;

-- Whether what a user makes carries a watermark: what their plan says, and always without one.
create or replace function app.adds_watermark(owner_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select p.adds_watermark from public.users u join public.plans p on p.id = u.plan_id
                     where u.id = owner_id), true);
$$;

-- Whether a user may have pictures as they were made. With its caller's rights: of who may be read.
create or replace function app.has_high_quality(owner_id uuid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select p.has_high_quality from public.users u join public.plans p on p.id = u.plan_id
                     where u.id = owner_id), false);
$$;

-- The names of parameters that ought to name a row of the catalog and name none. Servers of the release before
-- ask it.
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
    app.unknown_references(jsonb, jsonb), app.catalog_references(jsonb, jsonb), app.note_made_tools(text[]),
    app.check_plan_has(uuid, jsonb, jsonb), app.adds_watermark(uuid), app.has_high_quality(uuid)
from public;
grant execute on function app.has_high_quality(uuid) to anon, authenticated;
grant execute on function app.unknown_references(jsonb, jsonb), app.catalog_references(jsonb, jsonb)
to authenticated;
grant execute on function app.note_made_tools(text[]) to service;
