-- Texts in the languages of the product. A language without a text has the English one.

-- The text of a key for a reader of a language, given as a tag of RFC 5646 such as pt-BR; in English where
-- that language has none, and the key itself where there is none at all.
create or replace function app.translated(locale text, key text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select t.text from public.translations t
         where t.id = lower(split_part(replace($1, '_', '-'), '-', 1)) || ':' || $2),
        (select t.text from public.translations t where t.id = 'en:' || $2),
        $2);
$$;

-- All texts for readers of a language, in the order of their keys.
create or replace function app.translations_for(wanted_locale text)
returns table (id text, locale text, key text, "text" text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select distinct on (t.key) t.id, t.locale, t.key, t.text from public.translations t
    where t.locale in (wanted_locale, 'en')
    order by t.key, (t.locale = wanted_locale) desc;
$$;

-- Sets a text on behalf of an admin, or removes it (null), and notes it; doing it twice changes nothing more.
-- Returns the id of its row.
create or replace function app.set_translation(wanted_locale text, wanted_key text, new_text text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    admin_id uuid := app.required_admin_id();
begin
    if new_text is null then
        delete from public.translations t where t.id = wanted_locale || ':' || wanted_key;
    else
        insert into public.translations (locale, key, text, edited)
        values (wanted_locale, wanted_key, new_text, '{text}')
        on conflict (id) do update set text = excluded.text, edited = excluded.edited
        where translations.text <> excluded.text;
    end if;
    if found then
        insert into public.audit_log (user_id, action, detail)
        values (admin_id, 'set_translation',
                jsonb_build_object('locale', wanted_locale, 'key', wanted_key, 'text', new_text));
    end if;
    return wanted_locale || ':' || wanted_key;
end;
$$;

revoke execute on function
    app.translated(text, text), app.translations_for(text), app.set_translation(text, text, text)
from public;
grant execute on function app.translated(text, text), app.translations_for(text) to anon, authenticated, service;
grant execute on function app.set_translation(text, text, text) to authenticated;
