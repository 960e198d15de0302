-- The decisions on uploads that must be taken under a lock.

-- The actor's upload, usable for a generation; otherwise the refusal that says why not.
create or replace function app.usable_upload(actor_id uuid, wanted_upload uuid) returns public.uploads
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    upload public.uploads;
    path jsonb := '{"path": ["input", "uploadId"]}';
begin
    select * into upload from public.uploads u where u.id = wanted_upload and u.user_id = actor_id;
    if not found then
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
    return upload;
end;
$$;

revoke execute on function app.usable_upload(uuid, uuid) from public;
