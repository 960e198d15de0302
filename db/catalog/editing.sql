-- What admins change in the catalog while the product runs. Each change is noted once: doing it again changes
-- nothing more.

-- The columns that admins have changed, with some more.
create or replace function app.with_edited(known text[], more text[]) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp
return array(select distinct c from unnest(known || more) as c order by c);

-- Notes what an admin did to something of the catalog.
create or replace function app.note_catalog_change(admin_id uuid, change text, changed jsonb) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (user_id, action, detail) values (admin_id, change, changed);
$$;

-- Changes the columns that are named in `changes` of the row with this key, or adds it; a new row must name those
-- that are `needed`, each with the name that clients know it by. Returns the key.
create or replace function app.save_in_catalog(
    wanted_table text, key_column text, wanted text, changes jsonb, needed jsonb
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    named text[] := array(select jsonb_object_keys(changes));
    columns text := (select string_agg(format('%I', c), ', ') from unnest(named) as c);
    missing text[] := array(select n.value from jsonb_each_text(needed) as n where not changes ? n.key order by 1);
    is_there boolean;
    has_changed boolean := false;
begin
    execute format('select true from public.%I where %I = $1 for update', wanted_table, key_column)
    into is_there using wanted;
    if is_there and columns is not null then
        execute format(
            'update public.%1$I t set (%2$s, edited) = (select %2$s, app.with_edited(t.edited, $3)
                 from jsonb_populate_record(null::public.%1$I, $2))
             where t.%3$I = $1 and exists (select %2$s from jsonb_populate_record(null::public.%1$I, $2)
                 except select %4$s)
             returning true',
            wanted_table, columns, key_column,
            (select string_agg(format('t.%I', c), ', ') from unnest(named) as c))
        into has_changed using wanted, changes, named;
    elsif is_there is null then
        if cardinality(missing) > 0 then
            perform app.refuse('BAD_USER_INPUT',
                format('There is none yet; a new one needs %s.', array_to_string(missing, ', ')),
                jsonb_build_object('path', array['input', missing[1]]));
        end if;
        execute format(
            'insert into public.%1$I (%2$I, edited%3$s) select $1, $3%3$s
                 from jsonb_populate_record(null::public.%1$I, $2)
             on conflict (%2$I) do %4$s returning true',
            wanted_table, key_column, coalesce(', ' || columns, ''),
            -- Two may add it at once: the later one changes what the earlier one has added.
            coalesce((select 'update set ' || string_agg(format('%1$I = excluded.%1$I', c), ', ') from unnest(named) as c),
                     'nothing'))
        into has_changed using wanted, changes, named;
    end if;
    if has_changed then
        perform app.note_catalog_change(admin_id, 'save_in_catalog',
            jsonb_build_object('table', wanted_table, 'key', wanted, 'changes', changes));
    end if;
    return wanted;
exception when unique_violation then
    perform app.refuse('BAD_USER_INPUT', 'Another one has this name.', '{"path": ["input", "name"]}');
end;
$$;

-- Deletes the row with this key; nothing where there is none. Raises what refers to it.
create or replace function app.delete_from_catalog(wanted_table text, key_column text, wanted text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    is_deleted boolean;
begin
    execute format('delete from public.%I where %I = $1 returning true', wanted_table, key_column)
    into is_deleted using wanted;
    if is_deleted then
        perform app.note_catalog_change(admin_id, 'remove_from_catalog',
            jsonb_build_object('table', wanted_table, 'key', wanted));
    end if;
end;
$$;

-- Switches a tool or a hairstyle off; what was made with it keeps its name.
create or replace function app.switch_off_in_catalog(wanted_table text, wanted text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
    is_changed boolean;
begin
    execute format(
        'update public.%I t set is_active = false, edited = app.with_edited(t.edited, ''{is_active}'')
         where t.id = $1 and t.is_active returning true', wanted_table)
    into is_changed using wanted;
    if is_changed then
        perform app.note_catalog_change(admin_id, 'remove_from_catalog',
            jsonb_build_object('table', wanted_table, 'key', wanted, 'kept', true));
    end if;
end;
$$;

create or replace function app.save_tool(wanted text, changes jsonb) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select app.save_in_catalog('tools', 'id', wanted,
        case when exists (select from public.tools t where t.id = wanted) then changes
        else jsonb_build_object('name_key', 'tool.' || wanted || '.name',
            'description_key', 'tool.' || wanted || '.description') || changes end,
        '{"type": "type", "icon_name": "iconName"}');
$$;

create or replace function app.save_hairstyle(wanted text, changes jsonb) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select app.save_in_catalog('hairstyles', 'id', wanted, changes,
        '{"name": "name", "image_url": "imageUrl", "gender": "gender", "category": "category"}');
$$;

create or replace function app.save_hair_color(wanted text, changes jsonb) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select app.save_in_catalog('hair_colors', 'hex_code', wanted, changes, '{}');
$$;

create or replace function app.save_skin_color(wanted text, changes jsonb) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select app.save_in_catalog('skin_colors', 'hex_code', wanted, changes, '{"name": "name"}');
$$;

create or replace function app.save_plan(wanted text, changes jsonb) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    before public.plans;
begin
    select * into before from public.plans p where p.id = wanted for no key update;
    perform app.save_in_catalog('plans', 'id', wanted, changes,
        '{"name": "name", "monthly_credits": "monthlyCredits", "max_daily_credits": "maxDailyCredits"}');
    perform app.check_price('sandbox', p.price_cents, p.currency, 'priceCents') from public.plans p where p.id = wanted;
    perform app.follow_plan_price(wanted, before.price_cents, before.currency);
    return wanted;
end;
$$;

-- Deletes a tool, or switches it off when generations used it.
create or replace function app.remove_tool(wanted text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.delete_from_catalog('tools', 'id', wanted);
    return wanted;
exception when foreign_key_violation then
    perform app.switch_off_in_catalog('tools', wanted);
    return wanted;
end;
$$;

create or replace function app.remove_hairstyle(wanted text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.switch_off_in_catalog('hairstyles', wanted);
    return wanted;
end;
$$;

create or replace function app.remove_hair_color(wanted text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.delete_from_catalog('hair_colors', 'hex_code', wanted);
    return wanted;
end;
$$;

create or replace function app.remove_skin_color(wanted text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.delete_from_catalog('skin_colors', 'hex_code', wanted);
    return wanted;
end;
$$;

-- Deletes a plan that nobody has and nothing gives.
create or replace function app.remove_plan(wanted text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.delete_from_catalog('plans', 'id', wanted);
    return wanted;
exception when foreign_key_violation then
    perform app.refuse('INVALID_STATE',
        'This plan is in use: somebody has or had it, it is sold, or new accounts get it.', '{"path": ["input", "id"]}');
end;
$$;

revoke execute on function
    app.with_edited(text[], text[]), app.note_catalog_change(uuid, text, jsonb),
    app.save_in_catalog(text, text, text, jsonb, jsonb), app.delete_from_catalog(text, text, text),
    app.switch_off_in_catalog(text, text),
    app.save_tool(text, jsonb), app.save_hairstyle(text, jsonb), app.save_hair_color(text, jsonb),
    app.save_skin_color(text, jsonb), app.save_plan(text, jsonb),
    app.remove_tool(text), app.remove_hairstyle(text), app.remove_hair_color(text),
    app.remove_skin_color(text), app.remove_plan(text)
from public;
grant execute on function
    app.save_tool(text, jsonb), app.save_hairstyle(text, jsonb), app.save_hair_color(text, jsonb),
    app.save_skin_color(text, jsonb), app.save_plan(text, jsonb),
    app.remove_tool(text), app.remove_hairstyle(text), app.remove_hair_color(text),
    app.remove_skin_color(text), app.remove_plan(text)
to authenticated;
