-- Which amounts of a currency each payment provider takes, as `db/billing/currencies.py` says it.

-- Of what every amount is a multiple at a provider, in hundredths of the currency: 100 where whole units alone are
-- paid. Null for a currency that the provider does not take.
create or replace function app.currency_step(for_provider text, wanted_currency text) returns integer
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
    select case
        when for_provider = 'paypal' and wanted_currency <> all ('{AUD,BRL,CAD,CHF,CNY,CZK,DKK,EUR,GBP,HKD,HUF,ILS,JPY,'
            'MXN,MYR,NOK,NZD,PHP,PLN,SEK,SGD,THB,TWD,USD}') then null
        when wanted_currency = any ('{BIF,CLP,DJF,GNF,ISK,JPY,KMF,KRW,MGA,PYG,RWF,UGX,VND,VUV,XAF,XOF,XPF}') then 100
        when for_provider = 'paypal' and wanted_currency in ('HUF', 'TWD') then 100
        else 1 end;
$$;

-- An amount without the part that cannot be paid at a provider.
create or replace function app.payable_cents(cents integer, for_provider text, wanted_currency text) returns integer
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
    select cents - cents % coalesce(app.currency_step(for_provider, wanted_currency), 1);
$$;

-- What is paid at least of a currency, where anything is.
create or replace function app.least_payable_cents(for_provider text, wanted_currency text) returns integer
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
    select greatest(app.currency_step(for_provider, wanted_currency), case
        when wanted_currency in ('AED', 'MYR', 'PLN', 'RON') then 200
        when wanted_currency = 'CZK' then 1500
        when wanted_currency = 'DKK' then 250
        when wanted_currency = 'GBP' then 30
        when wanted_currency = 'HKD' then 400
        when wanted_currency = 'HUF' then 17500
        when wanted_currency = 'JPY' then 5000
        when wanted_currency in ('MXN', 'THB') then 1000
        when wanted_currency in ('NOK', 'SEK') then 300
        else 50 end);
$$;

revoke execute on function app.currency_step(text, text), app.payable_cents(integer, text, text),
    app.least_payable_cents(text, text)
from public;
grant execute on function app.payable_cents(integer, text, text) to authenticated;
