-- A guest's generations and cached results when the guest is merged into a member's account: their keys
-- are made of whose they are.

-- The key that a generation has as another user's. Its own one when the photo is gone, or when that
-- user is making the same just now: of those in progress with one key one runs.
create or replace function app.moved_cache_key(generation public.generations, to_id uuid) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    photo_sha256 text := (select u.original_sha256 from public.uploads u where u.id = generation.upload_id);
    mask_sha256 text := (select u.original_sha256 from public.uploads u where u.id = generation.mask_upload_id);
    moved_key text;
begin
    if photo_sha256 is null or (generation.mask_upload_id is not null and mask_sha256 is null) then
        return generation.cache_key;
    end if;
    moved_key := app.result_cache_key(to_id, generation.tool_id, photo_sha256, generation.parameters, mask_sha256);
    if generation.status in ('QUEUED', 'RUNNING') and exists (
        select from public.generations g
        where g.cache_key = moved_key and g.status in ('QUEUED', 'RUNNING') and g.follows_id is null) then
        return generation.cache_key;
    end if;
    return moved_key;
end;
$$;

-- Gives the guest's cached results to the member, under the keys that the member's requests look for;
-- of two for the same the member's stays. Returns how many moved.
create or replace function app.merge_results(guest uuid, member uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved integer;
begin
    insert into public.result_cache (cache_key, user_id, result, result_path, result_content_type, result_bytes,
        made_offline, created_at, expires_at)
    select distinct on (made.moved_key) made.moved_key, member, c.result, c.result_path, c.result_content_type,
        c.result_bytes, c.made_offline, c.created_at, c.expires_at
    from public.result_cache c
    join lateral (
        select app.moved_cache_key(g, member) as moved_key from public.generations g
        where g.user_id = guest and g.cache_key = c.cache_key and g.status = 'SUCCEEDED' limit 1) made
        on made.moved_key <> c.cache_key
    where c.user_id = guest
    order by made.moved_key, c.expires_at desc
    on conflict (cache_key) do nothing;
    get diagnostics moved = row_count;
    delete from public.result_cache c where c.user_id = guest;
    return moved;
end;
$$;

revoke execute on function app.moved_cache_key(public.generations, uuid), app.merge_results(uuid, uuid) from public;
