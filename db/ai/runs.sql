-- Runs of language models: opening one with its hold, and every way it ends. Every function locks the
-- wallet first, the run second and what it is for last. An attempt's number fences it.

-- What a feature may take for a user: what is said for their plan, or else for everybody.
create or replace function app.ai_budget(owner_id uuid, wanted_feature text) returns public.ai_budgets
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select b from public.ai_budgets b join public.users u on u.id = owner_id
    where b.feature = wanted_feature and (b.plan_id is null or b.plan_id = u.plan_id)
    order by b.plan_id nulls last limit 1;
$$;

-- Refuses a run beyond what the user's plan allows on a day (UTC).
create or replace function app.check_ai_budget(owner_id uuid, budget public.ai_budgets) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    at_once constant integer := 3;
    today timestamptz := date_trunc('day', now() at time zone 'UTC') at time zone 'UTC';
    used bigint;
begin
    if (select count(*) from public.ai_runs r
        where r.user_id = owner_id and r.status in ('QUEUED', 'RUNNING')
            and r.created_at > now() - interval '1 day') >= at_once then
        perform app.refuse('LIMIT_EXCEEDED',
            format('%s answers of yours are being written. Wait for one of them, or cancel it.', at_once));
    end if;
    select coalesce(sum(r.tokens), 0) into used from public.ai_runs r
    where r.user_id = owner_id and r.feature = budget.feature and r.created_at >= today;
    if used >= budget.daily_tokens then
        perform app.refuse('DAILY_LIMIT_REACHED', 'The plan''s words for today are used up.',
            jsonb_build_object('limit', budget.daily_tokens, 'remaining', 0, 'resets_at',
                to_char((today + interval '1 day') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    end if;
end;
$$;

-- Opens a run for the reply or analysis whose id it has: holds its credits and makes its job. The wallet is
-- locked by the caller.
create or replace function app.open_ai_run(owner_id uuid, run_id uuid, wanted_feature text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    budget public.ai_budgets := app.ai_budget(owner_id, wanted_feature);
    new_hold uuid;
    held integer;
    wallet public.wallets;
begin
    if budget.id is null then
        raise exception 'there is no budget for %', wanted_feature;
    end if;
    perform app.check_ai_budget(owner_id, budget);
    if budget.credits > 0 then
        -- What is charged by its tokens may be shorter: then the last credits buy as much as they are worth.
        wallet := app.lock_wallet(owner_id);
        held := case
            when budget.tokens_per_credit is null or wallet.unlimited or app.credits_are_unlimited() then budget.credits
            else least(budget.credits, greatest(wallet.balance - wallet.held, 1)) end;
        if held < budget.credits then
            budget.max_output_tokens := greatest(16, least(budget.max_output_tokens, held * budget.tokens_per_credit));
        end if;
        new_hold := app.hold_credits(owner_id, held, run_id::text, interval '15 minutes');
    end if;
    insert into public.ai_runs (id, user_id, feature, hold_id, model, max_output_tokens, context_tokens,
        tokens_per_credit, created_at)
    values (run_id, owner_id, wanted_feature, new_hold, budget.model, budget.max_output_tokens,
        budget.context_tokens, budget.tokens_per_credit, clock_timestamp());
    perform app.enqueue('run_ai', jsonb_build_object('run_id', run_id), 'ai:' || run_id);
end;
$$;

-- The run, locked behind its user's wallet; null when there is none.
create or replace function app.lock_ai_run(wanted uuid) returns public.ai_runs
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.ai_runs;
    owner_id uuid;
begin
    select * into run from public.ai_runs r where r.id = wanted;
    if not found then
        return null;
    end if;
    perform app.lock_wallet(run.user_id);
    -- While this waited, a guest may have been merged into a member, whose run it is now.
    select r.user_id into owner_id from public.ai_runs r where r.id = wanted;
    if owner_id <> run.user_id then
        perform app.lock_wallet(owner_id);
    end if;
    select * into run from public.ai_runs r where r.id = wanted for update;
    return run;
end;
$$;

-- Ends a run's hold by the tokens that were used and returns what was charged: nothing is without tokens.
create or replace function app.settle_ai_hold(run public.ai_runs, used_tokens integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    hold public.credit_holds;
    charged integer;
begin
    select * into hold from public.credit_holds h where h.id = run.hold_id;
    if hold.id is null or hold.status <> 'OPEN' then
        return 0;
    elsif used_tokens <= 0 then
        perform app.release_hold(hold.id);
        return 0;
    end if;
    charged := least(hold.amount, coalesce(ceil(used_tokens::numeric / run.tokens_per_credit), hold.amount));
    perform app.capture_hold(hold.id, charged);
    return charged;
end;
$$;

-- Shows how a run stands where clients see it: at its reply or analysis. False when that was deleted.
create or replace function app.show_ai_run(
    run public.ai_runs, made_text text, made jsonb, offline boolean, code text, message text
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if run.feature = 'CHAT' then
        return app.show_chat_reply(run, made_text, offline, code, message);
    end if;
    return app.show_analysis(run, made, offline, code, message);
end;
$$;

-- Writes down how an attempt ended, once; what its worker says later replaces only that it was thought dead.
create or replace function app.log_ai_attempt(
    run public.ai_runs, ended_attempt integer, provider_name text, attempt_outcome text, milliseconds integer,
    first_words integer, used jsonb, cost integer, reason text
) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.ai_request_logs as l
        (run_id, user_id, feature, attempt, provider, outcome, latency_milliseconds, first_milliseconds, usage,
         cost_micro_usd, error)
    values (run.id, run.user_id, run.feature, ended_attempt, provider_name, attempt_outcome, milliseconds,
            first_words, used, cost, reason)
    on conflict (run_id, attempt) do update
    set outcome = excluded.outcome, latency_milliseconds = excluded.latency_milliseconds,
        first_milliseconds = excluded.first_milliseconds, usage = excluded.usage,
        cost_micro_usd = excluded.cost_micro_usd, error = excluded.error
    where l.outcome = 'ABANDONED';
$$;

-- Ends an unfinished run as failed and releases its hold; false when it has ended already, or when
-- `fenced_attempt` is given and is not the newest.
create or replace function app.fail_ai_run(wanted uuid, fenced_attempt integer, code text, message text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.ai_runs := app.lock_ai_run(wanted);
begin
    if run.id is null or run.status not in ('QUEUED', 'RUNNING')
        or run.attempts <> coalesce(fenced_attempt, run.attempts)
    then
        return false;
    end if;
    perform app.release_open_hold(run.hold_id);
    update public.ai_runs r set status = 'FAILED', finished_at = clock_timestamp()
    where r.id = wanted returning * into run;
    perform app.show_ai_run(run, null, null, false, code, message);
    return true;
end;
$$;

-- Calls a run off that is locked: what it has taken so far is paid, the rest of its hold goes back.
create or replace function app.call_off_ai_run(run public.ai_runs, used_tokens integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    charged integer := app.settle_ai_hold(run, used_tokens);
begin
    update public.ai_runs r
    set status = 'CANCELLED', finished_at = clock_timestamp(), tokens = r.tokens + used_tokens,
        credits_charged = charged
    where r.id = run.id returning * into run;
    perform app.show_ai_run(run, null, null, false, null, null);
    -- A worker that is at it hears this when the transaction commits, and stops.
    perform pg_notify('ai_run_cancelled', run.id::text);
end;
$$;

-- Begins an attempt. `action` says what the worker does: RUN it, WAIT `wait_seconds` because the provider's
-- circuit is open or none of its calls of this minute is left (0: as many as there are), or nothing (DONE).
-- One that was left RUNNING was abandoned by its worker: if something of it was told already it has failed,
-- since another attempt would say something else.
create or replace function app.start_ai_run(
    wanted uuid, provider_name text, attempts_allowed integer, calls_per_minute integer,
    out action text, out wait_seconds double precision, out attempt integer, out attempts_left integer,
    out user_id uuid, out feature text, out model text, out max_output_tokens integer, out context_tokens integer
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.ai_runs := app.lock_ai_run(wanted);
    caller constant bytea := sha256(convert_to(provider_name, 'UTF8'));
    given_up constant text := 'The answer could not be written. No credit was spent; try again in a moment.';
begin
    action := 'DONE';
    if run.id is null or run.status not in ('QUEUED', 'RUNNING') then
        return;
    end if;
    if run.status = 'RUNNING' then
        perform app.log_ai_attempt(run, run.attempts, provider_name, 'ABANDONED', 0, null, '{}', 0, null);
    end if;
    if not app.ai_is_enabled() then
        perform app.fail_ai_run(wanted, null, 'AI_DISABLED', app.ai_disabled_message());
        return;
    end if;
    attempts_left := attempts_allowed - run.attempts;
    if attempts_left <= 0 or exists (select from public.chat_chunks c where c.message_id = wanted)
        or exists (select from public.credit_holds h where h.id = run.hold_id and h.status <> 'OPEN')
    then
        perform app.fail_ai_run(wanted, null, 'PROVIDER_FAILED', given_up);
        return;
    end if;
    if calls_per_minute > 0 then
        wait_seconds := app.budget_wait('provider_calls', caller, calls_per_minute, interval '1 minute');
    end if;
    if coalesce(wait_seconds, 0) = 0 then
        wait_seconds := app.wait_for_circuit(provider_name);
    end if;
    if wait_seconds > 0 then
        if run.created_at < clock_timestamp() - interval '2 minutes' then
            perform app.fail_ai_run(wanted, null, 'PROVIDER_FAILED', given_up);
        else
            action := 'WAIT';
        end if;
        return;
    end if;
    if calls_per_minute > 0 then
        perform app.take_from_budget('provider_calls', caller, calls_per_minute, interval '1 minute');
    end if;
    update public.ai_runs r
    set status = 'RUNNING', attempts = r.attempts + 1, started_at = coalesce(r.started_at, clock_timestamp())
    where r.id = wanted returning * into run;
    if not app.show_ai_run(run, null, null, false, null, null) then
        -- Its profile was deleted meanwhile.
        perform app.call_off_ai_run(run, 0);
        return;
    end if;
    action := 'RUN';
    attempt := run.attempts;
    attempts_left := attempts_left - 1;
    user_id := run.user_id;
    feature := run.feature;
    model := run.model;
    max_output_tokens := run.max_output_tokens;
    context_tokens := run.context_tokens;
end;
$$;

-- Notes an attempt that brought nothing, and what it took. What becomes of the run is another function's to say.
create or replace function app.end_ai_attempt(
    wanted uuid, ended_attempt integer, provider_name text, attempt_outcome text, milliseconds integer,
    first_words integer, used jsonb, cost integer, used_tokens integer, reason text
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.ai_runs;
begin
    -- What was called off has been counted already.
    update public.ai_runs r
    set tokens = r.tokens + case when r.status in ('QUEUED', 'RUNNING') then used_tokens else 0 end
    where r.id = wanted returning * into run;
    if found then
        perform app.log_ai_attempt(
            run, ended_attempt, provider_name, attempt_outcome, milliseconds, first_words, used, cost, reason);
        perform app.note_provider_outcome(provider_name, attempt_outcome);
    end if;
end;
$$;

-- Captures the hold by what was used and records the answer. False when the attempt is not the newest, or
-- the run has ended: its answer is thrown away and nothing is charged.
create or replace function app.finish_ai_run(
    wanted uuid, fenced_attempt integer, provider_name text, milliseconds integer, first_words integer,
    used jsonb, cost integer, used_tokens integer, made_text text, made jsonb, offline boolean
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.ai_runs := app.lock_ai_run(wanted);
    is_current boolean;
    charged integer;
begin
    if run.id is null then
        return false;
    end if;
    is_current := run.status = 'RUNNING' and run.attempts = fenced_attempt and not exists (
        select from public.credit_holds h where h.id = run.hold_id and h.status <> 'OPEN');
    perform app.log_ai_attempt(run, fenced_attempt, provider_name,
        case when is_current then 'SUCCEEDED' else 'DISCARDED' end, milliseconds, first_words, used, cost, null);
    perform app.note_provider_outcome(provider_name, 'SUCCEEDED');
    if not is_current then
        return false;
    end if;
    charged := app.settle_ai_hold(run, used_tokens);
    update public.ai_runs r
    set status = 'SUCCEEDED', finished_at = clock_timestamp(), tokens = r.tokens + used_tokens,
        credits_charged = charged
    where r.id = wanted returning * into run;
    perform app.show_ai_run(run, made_text, made, offline, null, null);
    return true;
end;
$$;

-- Calls off what is unfinished of an account that is being erased, and releases its holds.
create or replace function app.end_ai_runs(leaving uuid, at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    run public.ai_runs;
    done integer := 0;
begin
    perform from public.wallets w where w.user_id = leaving for update;
    for run in
        select * from public.ai_runs r where r.user_id = leaving and r.status in ('QUEUED', 'RUNNING')
        order by r.created_at, r.id limit at_most for update
    loop
        update public.ai_runs r set status = 'CANCELLED', finished_at = clock_timestamp() where r.id = run.id;
        perform app.release_open_hold(run.hold_id);
        perform pg_notify('ai_run_cancelled', run.id::text);
        done := done + 1;
    end loop;
    return done;
end;
$$;

-- Says what a feature may take, for the users of a plan or, where it is null, for everybody else.
create or replace function app.set_ai_budget(
    wanted_feature text, wanted_plan text, wanted_model text, output_tokens integer, context integer, daily integer,
    held_credits integer, per_credit integer
) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into public.ai_budgets (feature, plan_id, model, max_output_tokens, context_tokens, daily_tokens,
        credits, tokens_per_credit)
    values (wanted_feature, wanted_plan, wanted_model, output_tokens, context, daily, held_credits, per_credit)
    on conflict (feature, plan_id) do update
    set model = excluded.model, max_output_tokens = excluded.max_output_tokens,
        context_tokens = excluded.context_tokens, daily_tokens = excluded.daily_tokens,
        credits = excluded.credits, tokens_per_credit = excluded.tokens_per_credit;
$$;

revoke execute on function
    app.ai_budget(uuid, text), app.check_ai_budget(uuid, public.ai_budgets), app.open_ai_run(uuid, uuid, text),
    app.lock_ai_run(uuid), app.settle_ai_hold(public.ai_runs, integer),
    app.show_ai_run(public.ai_runs, text, jsonb, boolean, text, text),
    app.log_ai_attempt(public.ai_runs, integer, text, text, integer, integer, jsonb, integer, text),
    app.fail_ai_run(uuid, integer, text, text), app.call_off_ai_run(public.ai_runs, integer),
    app.start_ai_run(uuid, text, integer, integer),
    app.end_ai_attempt(uuid, integer, text, text, integer, integer, jsonb, integer, integer, text),
    app.finish_ai_run(uuid, integer, text, integer, integer, jsonb, integer, integer, text, jsonb, boolean),
    app.end_ai_runs(uuid, integer),
    app.set_ai_budget(text, text, text, integer, integer, integer, integer, integer)
from public;
grant execute on function
    app.fail_ai_run(uuid, integer, text, text), app.start_ai_run(uuid, text, integer, integer),
    app.end_ai_attempt(uuid, integer, text, text, integer, integer, jsonb, integer, integer, text),
    app.finish_ai_run(uuid, integer, text, integer, integer, jsonb, integer, integer, text, jsonb, boolean)
to service;
