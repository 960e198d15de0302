-- Products of stores, made, changed and published by their sellers, and downloaded by their buyers.

-- On what terms stores sell here: written from the settings whenever the database is migrated or a server starts.
create or replace function app.set_marketplace_terms(fee integer) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.marketplace_terms as t (id, fee_basis_points) values (1, fee)
    on conflict (id) do update set fee_basis_points = excluded.fee_basis_points
    where t.fee_basis_points <> excluded.fee_basis_points;
$$;

-- A product of a store of the caller's, locked; NOT_FOUND for any other.
create or replace function app.enter_product(wanted text, field text) returns public.products
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product public.products;
begin
    select * into product from public.products p
    where p.id = wanted and p.seller_id = app.required_user_id() for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such product.',
            jsonb_build_object('path', jsonb_build_array('input', field)));
    end if;
    return product;
end;
$$;

-- Has a product cost so much wherever stores can be paid in that currency, or nothing at all.
create or replace function app.set_product_price(wanted text, cents integer, wanted_currency text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.product_prices p
    where p.product_id = wanted and (cents is null or app.currency_step(p.provider, wanted_currency) is null);
    insert into public.product_prices as p (product_id, provider, amount_cents, currency)
    select wanted, w.provider, cents, wanted_currency
    from unnest('{paypal,sandbox,stripe}'::text[]) as w (provider)
    where cents is not null and app.currency_step(w.provider, wanted_currency) is not null
    on conflict (product_id, provider) do update
    set amount_cents = excluded.amount_cents, currency = excluded.currency
    where (p.amount_cents, p.currency) is distinct from (excluded.amount_cents, excluded.currency);
end;
$$;

-- Makes a product of a store of the caller's, a draft, and returns it; the same key the same one.
create or replace function app.create_product(wanted_store uuid, given jsonb, idempotency_key text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    products_limit constant integer := 1000;
    actor_id uuid := app.required_seller_id();
    fingerprint bytea := sha256(convert_to(jsonb_build_array(wanted_store, given)::text, 'UTF8'));
    store public.stores := app.enter_store(wanted_store, 'storeId');
    made text;
begin
    perform app.check_idempotency_key(idempotency_key);
    made := app.remembered_result(actor_id, 'create_product', idempotency_key, fingerprint);
    if made is not null then
        return made;
    elsif (select count(*) from public.products p where p.store_id = wanted_store) >= products_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('A store has at most %s products.', products_limit));
    end if;
    insert into public.products (id, kind, name, is_active, store_id, seller_id, status, description, category, tags,
        licences_enabled, max_activations, affiliates_enabled)
    select app.uuid_v7()::text, g.kind, g.name, false, wanted_store, actor_id, 'DRAFT', g.description, g.category,
        coalesce(g.tags, '{}'), coalesce(g.licences_enabled, false), g.max_activations,
        coalesce(g.affiliates_enabled, false)
    from jsonb_populate_record(null::public.products, given) g
    returning id into made;
    perform app.set_product_price(made, (given ->> 'price_cents')::integer, given ->> 'currency');
    perform app.remember_result(actor_id, 'create_product', idempotency_key, fingerprint, made::uuid);
    return made;
end;
$$;

-- Changes what is given of a product of the caller's, and returns it. Orders keep what they were offered, and one that is
-- shown goes on handing something out: INVALID_STATE.
create or replace function app.update_product(wanted text, given jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product public.products := app.enter_product(wanted, 'id');
    changed public.products := jsonb_populate_record(product, given);
begin
    if product.status = 'PUBLISHED' and app.hands_out(wanted, product.kind, product.licences_enabled)
        and not app.hands_out(wanted, product.kind, changed.licences_enabled) then
        perform app.refuse('INVALID_STATE',
            'Buyers would get nothing of this product. Add a version first, or archive the product.',
            '{"path": ["input", "licencesEnabled"]}');
    end if;
    update public.products p
    set name = changed.name, description = changed.description, category = changed.category, tags = changed.tags,
        licences_enabled = changed.licences_enabled, max_activations = changed.max_activations,
        affiliates_enabled = changed.affiliates_enabled, updated_at = clock_timestamp()
    where p.id = wanted;
    if given ? 'price_cents' then
        perform app.set_product_price(wanted, (given ->> 'price_cents')::integer, given ->> 'currency');
    end if;
    return wanted;
end;
$$;

-- Whether a product hands something out to who buys it: licences, or a version to download.
create or replace function app.hands_out(wanted text, kind text, licences_enabled boolean) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select kind <> 'DOWNLOAD' or licences_enabled
        or exists (select from public.product_versions v where v.product_id = wanted);
$$;

-- Shows a product of the caller's to everybody, or takes it from sale; INVALID_STATE where there is nothing to hand
-- out. Doing it again changes nothing. Returns the product.
create or replace function app.move_product(wanted text, step text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product public.products := app.enter_product(wanted, 'id');
    next_status text := case step when 'PUBLISH' then 'PUBLISHED' else 'ARCHIVED' end;
begin
    if step = 'PUBLISH' and not app.hands_out(wanted, product.kind, product.licences_enabled) then
        perform app.refuse('INVALID_STATE', 'There is nothing to download yet. Add a version, or turn licences on.',
            '{"path": ["input", "id"]}');
    end if;
    update public.products p
    set status = next_status, published_at = coalesce(p.published_at, case when step = 'PUBLISH' then now() end),
        is_active = step = 'PUBLISH' and coalesce((select s.is_public from public.stores s where s.id = p.store_id), false),
        updated_at = clock_timestamp()
    where p.id = wanted and p.status <> next_status;
    return wanted;
end;
$$;

-- A place for a file of a product of the caller's; returns it.
create or replace function app.create_product_file(
    wanted text, file_name text, content_type text, size_bytes bigint
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    product public.products := app.enter_product(wanted, 'productId');
    made uuid;
begin
    insert into public.product_files (user_id, product_id, file_name, content_type, size_bytes)
    values (product.seller_id, wanted, create_product_file.file_name, create_product_file.content_type,
        create_product_file.size_bytes)
    returning id into made;
    return made;
end;
$$;

-- Deletes a file of the caller's that is no version, and returns it; its bytes go with the next sweep.
create or replace function app.delete_product_file(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    file public.product_files;
begin
    select * into file from public.product_files f
    where f.id = wanted and f.user_id = app.required_user_id() for update;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such file.', '{"path": ["input", "id"]}');
    elsif exists (select from public.product_versions v where v.file_id = wanted) then
        perform app.refuse('INVALID_STATE', 'This file is a version that buyers may have; archive the product instead.',
            '{"path": ["input", "id"]}');
    end if;
    delete from public.product_files f where f.id = wanted;
    return wanted;
end;
$$;

-- Makes a file that has come the newest version of its product, and returns it; of one file the same one.
create or replace function app.create_product_version(wanted_file uuid, label text, notes text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    versions_limit constant integer := 200;
    file public.product_files;
    product public.products;
    last_number integer;
    made uuid;
begin
    select * into file from public.product_files f where f.id = wanted_file and f.user_id = app.required_user_id();
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such file.', '{"path": ["input", "fileId"]}');
    elsif file.status <> 'READY' then
        perform app.refuse('UPLOAD_MISSING', 'No file has arrived yet. PUT it to the file''s url first.',
            '{"path": ["input", "fileId"]}');
    end if;
    product := app.enter_product(file.product_id, 'fileId');
    select v.id into made from public.product_versions v where v.file_id = wanted_file;
    if made is not null then
        return made;
    end if;
    select coalesce(max(v.number), 0) into last_number from public.product_versions v where v.product_id = product.id;
    if last_number >= versions_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('A product has at most %s versions.', versions_limit));
    end if;
    insert into public.product_versions (product_id, file_id, number, label, notes, file_name, size_bytes)
    values (product.id, wanted_file, last_number + 1, create_product_version.label, create_product_version.notes,
        file.file_name, file.size_bytes)
    returning id into made;
    update public.products p set updated_at = clock_timestamp() where p.id = product.id;
    return made;
end;
$$;

-- Removes a picture of a product of the caller's, and returns the product.
create or replace function app.remove_product_picture(wanted uuid) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    picture public.product_pictures;
begin
    select p.* into picture from public.product_pictures p join public.products o on o.id = p.product_id
    where p.id = wanted and o.seller_id = app.required_user_id() for update of p;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such picture.', '{"path": ["input", "id"]}');
    end if;
    delete from public.product_pictures p where p.id = wanted;
    return picture.product_id;
end;
$$;

-- Refuses another picture to a product that has as many as there may be, or is not the caller's.
create or replace function app.check_product_picture(wanted text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    pictures_limit constant integer := 10;
    product public.products := app.enter_product(wanted, 'productId');
begin
    if (select count(*) from public.product_pictures p where p.product_id = wanted) >= pictures_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('A product has at most %s pictures. Remove one first.', pictures_limit));
    end if;
    return product.id;
end;
$$;

-- Adds a picture that is stored, at the place that follows from its id, to a product of a user's, behind the others;
-- returns the product. Whoever lost it meanwhile gets NOT_FOUND.
create or replace function app.add_product_picture(
    owner_id uuid, wanted text, picture_id uuid, stored_path text, stored_type text, width integer, height integer
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from public.products p where p.id = wanted and p.seller_id = owner_id for update) then
        perform app.refuse('NOT_FOUND', 'There is no such product.', '{"path": ["input", "productId"]}');
    end if;
    insert into public.product_pictures (id, product_id, path, content_type, width_pixels, height_pixels, sort_order)
    select picture_id, wanted, stored_path, stored_type, width, height, coalesce(max(p.sort_order), 0) + 1
    from public.product_pictures p where p.product_id = wanted
    on conflict do nothing;
    return wanted;
end;
$$;

-- What the caller downloads of a product: its newest version, or the one that they name. For its seller, and for who
-- has bought it and was not given the money back; NOT_FOUND for all others. A buyer counts once.
create or replace function app.begin_download(
    wanted text, wanted_version uuid, out path text, out content_type text, out file_name text, out version_id uuid
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    product public.products;
    is_seller boolean;
begin
    select * into product from public.products p where p.id = wanted;
    is_seller := product.seller_id is not distinct from actor_id and product.id is not null;
    if not is_seller and not exists (select from public.sales s where s.buyer_id = actor_id and s.product_id = wanted
        and s.status in ('COMPLETED', 'PARTIALLY_REFUNDED')) then
        perform app.refuse('NOT_FOUND', 'There is no such product among what you have bought.',
            '{"path": ["input", "productId"]}');
    end if;
    select f.path, f.content_type, f.file_name, v.id into path, content_type, file_name, version_id
    from public.product_versions v join public.product_files f on f.id = v.file_id
    where v.product_id = wanted and (wanted_version is null or v.id = wanted_version)
    order by v.number desc limit 1;
    if version_id is null and wanted_version is null then
        perform app.refuse('NOT_FOUND', 'This product has nothing to download yet; what else comes with it is yours.',
            '{"path": ["input", "productId"]}');
    elsif version_id is null then
        perform app.refuse('NOT_FOUND', 'There is no such version.', '{"path": ["input", "versionId"]}');
    end if;
    if not is_seller then
        insert into public.product_downloads (product_id, user_id) values (wanted, actor_id) on conflict do nothing;
        if found then
            update public.products p set download_count = p.download_count + 1 where p.id = wanted;
        end if;
    end if;
end;
$$;

revoke execute on function
    app.set_marketplace_terms(integer), app.enter_product(text, text), app.hands_out(text, text, boolean),
    app.set_product_price(text, integer, text),
    app.create_product(uuid, jsonb, text), app.update_product(text, jsonb), app.move_product(text, text),
    app.create_product_file(text, text, text, bigint), app.delete_product_file(uuid),
    app.create_product_version(uuid, text, text), app.remove_product_picture(uuid), app.check_product_picture(text),
    app.add_product_picture(uuid, text, uuid, text, text, integer, integer), app.begin_download(text, uuid)
from public;
grant execute on function
    app.create_product(uuid, jsonb, text), app.update_product(text, jsonb), app.move_product(text, text),
    app.create_product_file(text, text, text, bigint), app.delete_product_file(uuid),
    app.create_product_version(uuid, text, text), app.remove_product_picture(uuid), app.check_product_picture(text),
    app.begin_download(text, uuid)
to authenticated;
grant execute on function
    app.set_marketplace_terms(integer), app.add_product_picture(uuid, text, uuid, text, text, integer, integer)
to service;
