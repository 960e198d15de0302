-- Reviews, by who has bought a product; the product's ratings follow.

-- Writes the caller's review of a product, or writes it anew, and returns it. For who has bought it and was not given
-- the money back.
create or replace function app.save_review(wanted text, given_rating integer, given_text text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    made uuid;
begin
    -- A seller who bought of themselves without an account is no buyer.
    if not exists (select from public.sales s where s.buyer_id = actor_id and s.product_id = wanted
        and s.status in ('COMPLETED', 'PARTIALLY_REFUNDED') and s.seller_id is distinct from actor_id) then
        perform app.refuse('NOT_FOUND', 'There is no such product among what you have bought.',
            '{"path": ["input", "productId"]}');
    end if;
    insert into public.reviews as r (product_id, user_id, author_name, rating, text)
    select wanted, actor_id, coalesce(u.display_name, u.username), given_rating, given_text
    from public.users u where u.id = actor_id
    on conflict (user_id, product_id) do update
    set rating = excluded.rating, text = excluded.text, author_name = excluded.author_name, updated_at = clock_timestamp()
    returning r.id into made;
    return made;
end;
$$;

-- Deletes the caller's review and returns it.
create or replace function app.delete_review(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.reviews r where r.id = wanted and r.user_id = app.required_user_id();
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such review.', '{"path": ["input", "id"]}');
    end if;
    return wanted;
end;
$$;

-- A guest's reviews become a member's, but those of what the member sells or has reviewed. Returns how many moved.
create or replace function app.merge_reviews(guest uuid, member uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moved bigint;
begin
    delete from public.reviews g where g.user_id = guest and (
        exists (select from public.products p where p.id = g.product_id and p.seller_id = member)
        or exists (select from public.reviews m where m.user_id = member and m.product_id = g.product_id));
    with gone as (
        update public.reviews r set user_id = member where r.user_id = guest returning 1)
    select count(*) into moved from gone;
    return moved;
end;
$$;

-- Has a product's ratings follow its reviews.
create or replace function app.count_rating() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'UPDATE' and (old.product_id, old.rating) = (new.product_id, new.rating) then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        update public.products p set rating_sum = p.rating_sum - old.rating, rating_count = p.rating_count - 1
        where p.id = old.product_id;
    end if;
    if tg_op <> 'DELETE' then
        update public.products p set rating_sum = p.rating_sum + new.rating, rating_count = p.rating_count + 1
        where p.id = new.product_id;
    end if;
    return null;
end;
$$;

revoke execute on function
    app.save_review(text, integer, text), app.delete_review(uuid), app.merge_reviews(uuid, uuid), app.count_rating()
from public;
grant execute on function app.save_review(text, integer, text), app.delete_review(uuid) to authenticated;
