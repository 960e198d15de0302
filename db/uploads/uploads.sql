-- The decisions on uploads that are taken under a lock: the quota, first use, deletion.

-- One user's uploads are counted by one transaction at a time. Whoever needs a wallet as well locks
-- that one first.
create or replace function app.lock_uploads(owner_id uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select from public.users where id = owner_id for no key update;
$$;

-- How uploads are announced here, and what members' photos may take unless an operator said otherwise;
-- guests have a fifth of it. Written from the settings whenever the database is migrated or a server
-- starts, so that no caller of the functions below has a say in it.
create or replace function app.set_upload_terms(
    link_lasts interval, announced_counts interval, waiting_uploads integer, members_bytes bigint
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.upload_terms as t (id, url_lasts, waiting, waiting_limit)
    values (1, link_lasts, announced_counts, waiting_uploads)
    on conflict (id) do update
    set url_lasts = excluded.url_lasts, waiting = excluded.waiting, waiting_limit = excluded.waiting_limit
    where (t.url_lasts, t.waiting, t.waiting_limit) is distinct from
        (excluded.url_lasts, excluded.waiting, excluded.waiting_limit);
    update public.quota_limits l
    set bytes_limit = case l.audience when 'GUEST' then members_bytes / 5 else members_bytes end
    where l.slice = 'uploads' and not l.is_custom and l.audience in ('GUEST', 'MEMBER')
      and l.bytes_limit <> case l.audience when 'GUEST' then members_bytes / 5 else members_bytes end;
end;
$$;

-- Refuses a photo that a user has no room for. What was announced counts for a while only: what waits
-- for longer is taken off the sums, without looking at any photo that is there. One upload can be
-- left out. Call it only while holding the lock on the user's uploads.
create or replace function app.refuse_over_quota(owner_id uuid, more_bytes bigint, left_out uuid default null) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    quota public.quota_limits := app.quota_of(owner_id, 'uploads');
    used public.quota_use;
    off record;
begin
    select * into used from public.quota_use q where q.user_id = owner_id and q.slice = 'uploads';
    select count(*) filter (where u.stored_bytes > 0) as uploads, coalesce(sum(u.stored_bytes), 0) as bytes into off
    from public.uploads u
    where u.user_id = owner_id and u.received_at is null and (u.id = left_out
        or u.created_at <= now() - (select t.waiting from public.upload_terms t));
    if coalesce(used.rows_used, 0) - off.uploads >= quota.rows_limit then
        perform app.refuse_quota('uploads', quota, quota.rows_limit + 1, 0, 0, 'deleteUpload');
    elsif coalesce(used.bytes_used, 0) - off.bytes + more_bytes > quota.bytes_limit then
        perform app.refuse('QUOTA_EXCEEDED', format(
            'Your photos take %s MB of %s MB, and this one needs %s MB. Delete some with deleteUpload.',
            round((coalesce(used.bytes_used, 0) - off.bytes) / 1e6, 1), round(quota.bytes_limit / 1e6, 1),
            round(more_bytes / 1e6, 1)), '{"path": ["input", "sizeBytes"]}');
    end if;
end;
$$;

-- Refuses another upload to a user who has announced too many whose photo was not taken in. Deleting
-- such an upload makes no room: its row stays until the sweep.
create or replace function app.refuse_many_waiting(owner_id uuid) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    terms public.upload_terms;
begin
    select * into terms from public.upload_terms;
    if (select count(*) from public.uploads u
        where u.user_id = owner_id and u.received_at is null and u.created_at > now() - terms.waiting)
        >= terms.waiting_limit
    then
        perform app.refuse('QUOTA_EXCEEDED', format(
            'You have announced %s photos that were not taken in. Send and use those, or wait until they are forgotten.',
            terms.waiting_limit), '{"path": ["input"]}');
    end if;
end;
$$;

-- A place for one photo of the actor's. It counts toward the quota at once, so that many announced
-- together cannot pass it.
create or replace function app.create_upload(content_type text, size_bytes bigint) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    new_upload uuid;
begin
    -- A photo of less than nothing would make room for others.
    if size_bytes is null or size_bytes < 1 then
        perform app.refuse('BAD_USER_INPUT', 'A photo has at least 1 byte.', '{"path": ["input", "sizeBytes"]}');
    elsif content_type is null or content_type not in ('image/jpeg', 'image/png', 'image/webp') then
        perform app.refuse('BAD_USER_INPUT', 'A photo is image/jpeg, image/png or image/webp.',
            '{"path": ["input", "contentType"]}');
    end if;
    perform app.lock_uploads(actor_id);
    perform app.refuse_over_quota(actor_id, size_bytes);
    perform app.refuse_many_waiting(actor_id);
    insert into public.uploads (user_id, content_type, declared_size_bytes, expires_at)
    select actor_id, content_type, size_bytes, now() + t.url_lasts from public.upload_terms t
    returning id into strict new_upload;
    return new_upload;
end;
$$;

-- Counts what is about to be stored, if it is more than was announced: a photo that was written anew
-- has another size. False when the upload is ready, deleted or gone.
create or replace function app.reserve_upload_bytes(wanted_upload uuid, photo_bytes bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner_id uuid := (select u.user_id from public.uploads u where u.id = wanted_upload);
begin
    perform app.lock_uploads(owner_id);
    perform app.refuse_over_quota(owner_id, photo_bytes, wanted_upload);
    update public.uploads u set declared_size_bytes = greatest(u.declared_size_bytes, photo_bytes)
    where u.id = wanted_upload and u.status in ('AWAITING', 'REJECTED');
    return found;
end;
$$;

-- The actor's upload, usable for a generation and from now on used; otherwise the refusal that says
-- why not, at the input's `field`. It is locked, so that nobody deletes it before the generation is
-- there.
create or replace function app.usable_upload(
    actor_id uuid, wanted_upload uuid, field text default 'uploadId'
) returns public.uploads
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    upload public.uploads;
    path jsonb := jsonb_build_object('path', jsonb_build_array('input', field));
begin
    select * into upload from public.uploads u
    where u.id = wanted_upload and u.user_id = actor_id for share;
    if not found or upload.status = 'DELETED' then
        perform app.refuse('NOT_FOUND', 'There is no such upload.', path);
    elsif upload.status = 'REJECTED' then
        perform app.refuse(upload.rejected_code, upload.rejected_message, path);
    elsif upload.status = 'AWAITING' and upload.expires_at <= now() then
        perform app.refuse('UPLOAD_EXPIRED',
            'The upload''s URL expired before a file arrived. Call createUpload again.', path);
    elsif upload.status = 'AWAITING' then
        perform app.refuse('UPLOAD_MISSING',
            'No file has arrived yet. PUT the photo to the upload''s url first.', path);
    end if;
    update public.uploads u set used_at = now() where u.id = upload.id and u.used_at is null;
    return upload;
end;
$$;

-- Forgets the actor's photo. The row stays for the generations that were made from it, until the
-- sweep when there are none. The files are the caller's to remove once this is committed.
create or replace function app.delete_upload(wanted_upload uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    path jsonb := '{"path": ["input", "id"]}';
begin
    perform from public.uploads u
    where u.id = wanted_upload and u.user_id = actor_id and u.status <> 'DELETED' for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such upload.', path);
    end if;
    if exists (select from public.generations g
               where wanted_upload in (g.upload_id, g.mask_upload_id) and g.status in ('QUEUED', 'RUNNING')) then
        perform app.refuse('BAD_USER_INPUT',
            'A generation is being made from this photo. Delete it when that has ended.', path);
    end if;
    update public.uploads u
    set status = 'DELETED', path = '', original_sha256 = null, width_pixels = null,
        height_pixels = null, size_bytes = null
    where u.id = wanted_upload;
    return wanted_upload;
end;
$$;

revoke execute on function
    app.lock_uploads(uuid), app.set_upload_terms(interval, interval, integer, bigint),
    app.refuse_over_quota(uuid, bigint, uuid), app.refuse_many_waiting(uuid),
    app.create_upload(text, bigint), app.reserve_upload_bytes(uuid, bigint),
    app.usable_upload(uuid, uuid, text), app.delete_upload(uuid)
from public;
grant execute on function app.create_upload(text, bigint), app.delete_upload(uuid) to authenticated;
grant execute on function
    app.reserve_upload_bytes(uuid, bigint), app.set_upload_terms(interval, interval, integer, bigint)
to service;
