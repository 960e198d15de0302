-- The decisions on uploads that are taken under a lock: the quota, first use, deletion.

-- One user's uploads are counted by one transaction at a time. Whoever needs a wallet as well locks
-- that one first.
create or replace function app.lock_uploads(owner_id uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select from public.users where id = owner_id for no key update;
$$;

-- Bytes that count toward a user's quota: photos that are there, and for `waiting` after it was
-- announced what a photo may still bring. One upload can be left out.
create or replace function app.upload_bytes(owner_id uuid, waiting interval, left_out uuid default null)
returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(sum(case when u.status = 'READY' then u.size_bytes else u.declared_size_bytes end), 0)::bigint
    from public.uploads u
    where u.user_id = owner_id and u.id is distinct from left_out
      and (u.status = 'READY' or u.status <> 'DELETED' and u.created_at > now() - waiting);
$$;

create or replace function app.refuse_over_quota(used_bytes bigint, more_bytes bigint, quota_bytes bigint) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if used_bytes + more_bytes > quota_bytes then
        perform app.refuse('QUOTA_EXCEEDED', format(
            'Your photos take %s MB of %s MB, and this one needs %s MB. Delete some with deleteUpload.',
            round(used_bytes / 1e6, 1), round(quota_bytes / 1e6, 1), round(more_bytes / 1e6, 1)),
            '{"path": ["input", "sizeBytes"]}');
    end if;
end;
$$;

-- Refuses another upload to a user who has announced too many whose photo was not taken in. Deleting
-- such an upload makes no room: its row stays until the sweep.
create or replace function app.refuse_many_waiting(owner_id uuid, waiting interval, waiting_limit integer) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    if (select count(*) from public.uploads u
        where u.user_id = owner_id and u.received_at is null and u.created_at > now() - waiting) >= waiting_limit
    then
        perform app.refuse('QUOTA_EXCEEDED', format(
            'You have announced %s photos that were not taken in. Send and use those, or wait until they are forgotten.',
            waiting_limit), '{"path": ["input"]}');
    end if;
end;
$$;

-- A place for one photo of the actor's. It counts toward the quota at once, so that many announced
-- together cannot pass it.
create or replace function app.create_upload(
    content_type text, size_bytes bigint, url_lasts interval, waiting interval, quota_bytes bigint,
    waiting_limit integer
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    new_upload uuid;
begin
    perform app.lock_uploads(actor_id);
    perform app.refuse_over_quota(app.upload_bytes(actor_id, waiting), size_bytes, quota_bytes);
    perform app.refuse_many_waiting(actor_id, waiting, waiting_limit);
    insert into public.uploads (user_id, content_type, declared_size_bytes, expires_at)
    values (actor_id, content_type, size_bytes, now() + url_lasts)
    returning id into new_upload;
    return new_upload;
end;
$$;

-- Counts what is about to be stored, if it is more than was announced: a photo that was written anew
-- has another size. False when the upload is ready, deleted or gone.
create or replace function app.reserve_upload_bytes(
    wanted_upload uuid, stored_bytes bigint, waiting interval, quota_bytes bigint
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner_id uuid := (select u.user_id from public.uploads u where u.id = wanted_upload);
begin
    perform app.lock_uploads(owner_id);
    perform app.refuse_over_quota(
        app.upload_bytes(owner_id, waiting, wanted_upload), stored_bytes, quota_bytes);
    update public.uploads u set declared_size_bytes = greatest(u.declared_size_bytes, stored_bytes)
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
    app.lock_uploads(uuid), app.upload_bytes(uuid, interval, uuid),
    app.refuse_over_quota(bigint, bigint, bigint), app.refuse_many_waiting(uuid, interval, integer),
    app.create_upload(text, bigint, interval, interval, bigint, integer),
    app.reserve_upload_bytes(uuid, bigint, interval, bigint),
    app.usable_upload(uuid, uuid, text), app.delete_upload(uuid)
from public;
grant execute on function
    app.create_upload(text, bigint, interval, interval, bigint, integer), app.delete_upload(uuid)
to authenticated;
grant execute on function app.reserve_upload_bytes(uuid, bigint, interval, bigint) to service;
