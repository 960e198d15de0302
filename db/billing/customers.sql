-- The names by which providers know buyers, once nobody here is that buyer any more: the providers forget them, too.

-- Has a provider forget a customer, by a job: nobody waits for a provider to be erased here.
create or replace function app.queue_forgetting(at_provider text, customer text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select app.enqueue_once('forget_customer', jsonb_build_object('provider', at_provider, 'customer', customer),
        format('forget_customer:%s:%s', at_provider, customer), 10);
$$;

-- Forgets what providers call a person whose account is being erased. Returns how many of these names there were.
create or replace function app.forget_customers(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone record;
    forgotten integer := 0;
begin
    for gone in
        delete from public.payment_customers c where c.id in (
            select k.id from public.payment_customers k where k.user_id = leaving limit at_most)
        returning c.provider, c.customer_id
    loop
        perform app.queue_forgetting(gone.provider, gone.customer_id);
        forgotten := forgotten + 1;
    end loop;
    return forgotten;
end;
$$;

-- Trigger: an organization that is gone is no customer any more. A guest's name may go while pages are open that were
-- made for it, as they become somebody who has another one: that is kept at the provider.
create or replace function app.forget_organization_customer() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform app.queue_forgetting(old.provider, old.customer_id);
    return null;
end;
$$;

revoke execute on function
    app.queue_forgetting(text, text), app.forget_customers(uuid, integer), app.forget_organization_customer()
from public;
