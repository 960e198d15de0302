-- Organizations: who works together, in which role. Whatever changes the members of an organization
-- locks its row first, so that the changes have one order and the last owner stays.

-- How much a role may, to be compared; null for none.
create or replace function app.organization_rank(role text) returns integer
language sql immutable set search_path = pg_catalog, pg_temp
return case role when 'OWNER' then 4 when 'ADMIN' then 3 when 'MEMBER' then 2 when 'VIEWER' then 1 end;

-- The caller's role in an organization, whose row is locked; NOT_FOUND for who is no member. A
-- stranger locks nothing.
create or replace function app.enter_organization(wanted uuid) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    own_role text;
begin
    perform from public.organization_members m where m.organization_id = wanted and m.user_id = actor_id;
    if found then
        perform from public.organizations o where o.id = wanted for no key update;
        select m.role into own_role from public.organization_members m
        where m.organization_id = wanted and m.user_id = actor_id;
    end if;
    if own_role is null then
        perform app.refuse('NOT_FOUND', 'There is no such organization.', '{"path": ["input", "organizationId"]}');
    end if;
    return own_role;
end;
$$;

-- Refuses who may not give, take or change a role: owners may any, admins those below their own.
create or replace function app.require_rank_above(own_role text, other_role text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if app.organization_rank(other_role) is null then
        perform app.refuse('BAD_USER_INPUT', 'There is no such role.', '{"path": ["input", "role"]}');
    end if;
    if own_role <> 'OWNER' and (own_role <> 'ADMIN'
        or app.organization_rank(other_role) >= app.organization_rank(own_role)) then
        perform app.refuse('FORBIDDEN', format('Your role is %s. %s', own_role,
            'Owners may do this, and admins with members and viewers.'));
    end if;
end;
$$;

-- Refuses to leave an organization without an owner.
create or replace function app.require_other_owner(wanted uuid, member_id uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from public.organization_members m
        where m.organization_id = wanted and m.role = 'OWNER' and m.user_id <> member_id) then
        perform app.refuse('LAST_OWNER', 'An organization keeps at least one owner. Make somebody else an owner first.');
    end if;
end;
$$;

-- Notes what was done, and that the organization's members changed.
create or replace function app.note_organization_change(wanted uuid, action text, detail jsonb default '{}') returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update public.organizations o set updated_at = clock_timestamp() where o.id = wanted;
    insert into public.audit_log (user_id, action, detail)
    values (app.user_id(), note_organization_change.action,
            detail || jsonb_build_object('organization', 'organization_' || wanted));
end;
$$;

-- Refuses to make somebody the owner of more organizations than one may own. Their row is locked, so
-- that two organizations cannot do it at once.
create or replace function app.require_room_to_own(owner_id uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    owned_limit constant integer := 20;
begin
    perform from public.users u where u.id = owner_id for no key update;
    if (select count(*) from public.organization_members m
        where m.user_id = owner_id and m.role = 'OWNER') >= owned_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('One person owns at most %s organizations. Transfer one first.',
            owned_limit));
    end if;
end;
$$;

-- Makes an organization that somebody owns, and works in unless they work in another. Its months of calls begin on
-- the day of the month that it is, which every month has.
create or replace function app.found_organization(owner_id uuid, wanted_name text) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    made uuid;
begin
    insert into public.organizations (name, usage_reset_day)
    values (wanted_name, least(28, extract(day from now() at time zone 'UTC')::integer)) returning id into made;
    insert into public.organization_members (organization_id, user_id, role) values (made, owner_id, 'OWNER');
    update public.users u set selected_organization_id = coalesce(u.selected_organization_id, made)
    where u.id = owner_id;
    return made;
end;
$$;

-- Makes the first organization of a new member, under their name, where the terms of signing up say so; none for who
-- is in one already.
create or replace function app.found_first_organization(new_user_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    member public.users;
    made uuid;
begin
    select * into member from public.users u where u.id = new_user_id for no key update;
    if member.id is null or exists (select from public.organization_members m where m.user_id = new_user_id) then
        return;
    end if;
    made := app.found_organization(new_user_id, left(coalesce(
        nullif(trim(member.display_name), ''), nullif(split_part(member.email, '@', 1), ''), member.username), 100));
    insert into public.audit_log (user_id, action, detail)
    values (new_user_id, 'create_organization', jsonb_build_object('organization', 'organization_' || made));
end;
$$;

-- Makes an organization whose first owner is the caller, and returns it; the same key the same one.
create or replace function app.create_organization(wanted_name text, idempotency_key text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
    fingerprint bytea := sha256(convert_to(wanted_name, 'UTF8'));
    made uuid;
    is_guest boolean;
begin
    perform app.check_idempotency_key(idempotency_key);
    select u.is_anonymous into is_guest from public.users u where u.id = actor_id for no key update;
    made := app.remembered_result(actor_id, 'create_organization', idempotency_key, fingerprint);
    if made is not null then
        return made;
    end if;
    if is_guest then
        perform app.refuse('FORBIDDEN', 'Guests have no organizations. Sign up first; what you have stays yours.');
    end if;
    perform app.require_room_to_own(actor_id);
    made := app.found_organization(actor_id, wanted_name);
    perform app.note_organization_change(made, 'create_organization');
    perform app.remember_result(actor_id, 'create_organization', idempotency_key, fingerprint, made);
    return made;
end;
$$;

-- Queues the e-mail of an invitation, unless its address had one of it in the last ten minutes, which was
-- at `mailed_at`, or was invited five times in an hour, by whomever: nobody is flooded.
create or replace function app.mail_invitation(invited uuid, mailed_at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    invitation public.organization_invitations;
    inviter public.users;
    known public.users;
begin
    select * into invitation from public.organization_invitations i where i.id = invited;
    if mailed_at > now() - interval '10 minutes'
        or (select count(*) from public.organization_invitations i
            where i.email_key = invitation.email_key and i.created_at > now() - interval '1 hour') > 5 then
        return;
    end if;
    select * into inviter from public.users u where u.id = invitation.invited_by;
    select * into known from public.users u where u.email_key = invitation.email_key;
    -- Whoever has no account most likely speaks the language of who invites them.
    perform app.queue_email('organization_invitation', invitation.email, coalesce(known.locale, inviter.locale),
        known.id,
        jsonb_build_object(
            'invitation_id', invited, 'role', invitation.role, 'expires_at', invitation.expires_at,
            'organization', (select o.name from public.organizations o where o.id = invitation.organization_id),
            'inviter', inviter.email));
end;
$$;

-- Invites an e-mail address and returns the invitation, good for 7 days. One that is pending for the
-- same address is renewed, by who may take it back.
create or replace function app.invite_member(wanted uuid, email text, email_key text, role text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    pending_limit constant integer := 200;
    lasts constant interval := '7 days';
    own_role text := app.enter_organization(wanted);
    invited_limit constant integer := 200;
    invited uuid;
    given_role text;
    mailed_at timestamptz;
begin
    -- Whoever manages invitations sees their tokens: none may lead to more than they are themselves.
    if invite_member.role is null or invite_member.role not in ('ADMIN', 'MEMBER', 'VIEWER') then
        perform app.refuse('BAD_USER_INPUT', 'Invite to another role; an owner can make a member an owner.',
            '{"path": ["input", "role"]}');
    end if;
    perform app.require_rank_above(own_role, invite_member.role);
    perform app.require_staying(o.deletes_at) from public.organizations o where o.id = wanted;
    if exists (select from public.organization_members m join public.users u on u.id = m.user_id
        where m.organization_id = wanted and u.email_key = invite_member.email_key) then
        perform app.refuse('BAD_USER_INPUT', 'This address belongs to a member already.', '{"path": ["input", "email"]}');
    end if;
    select i.role, i.created_at into given_role, mailed_at from public.organization_invitations i
    where i.organization_id = wanted and i.email_key = invite_member.email_key and i.status = 'PENDING'
        and i.expires_at > now();
    if found then
        perform app.require_rank_above(own_role, given_role);
    end if;
    if (select count(*) from public.organization_invitations i
        where i.invited_by = app.user_id() and i.created_at > now() - interval '1 day') >= invited_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('You have invited %s people within a day. Go on tomorrow.',
            invited_limit));
    end if;
    update public.organization_invitations i set email = invite_member.email, role = invite_member.role,
        invited_by = app.user_id(), created_at = now(), expires_at = now() + lasts
    where i.organization_id = wanted and i.email_key = invite_member.email_key and i.status = 'PENDING'
    returning i.id into invited;
    if invited is null then
        if (select count(*) from public.organization_invitations i
            where i.organization_id = wanted and i.status = 'PENDING' and i.expires_at > now()) >= pending_limit then
            perform app.refuse('LIMIT_EXCEEDED', format(
                'There are %s invitations that nobody has answered. Revoke some first.', pending_limit));
        end if;
        insert into public.organization_invitations (organization_id, email, email_key, role, invited_by, expires_at)
        values (wanted, invite_member.email, invite_member.email_key, invite_member.role, app.user_id(), now() + lasts)
        returning id into invited;
    end if;
    perform app.mail_invitation(invited, mailed_at);
    perform app.note_organization_change(wanted, 'invite_member',
        jsonb_build_object('invitation', 'organizationInvitation_' || invited, 'role', invite_member.role));
    return invited;
end;
$$;

-- Takes an invitation back and returns it; doing it twice changes nothing more.
create or replace function app.revoke_invitation(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    invitation public.organization_invitations;
    own_role text;
begin
    select * into invitation from public.organization_invitations i where i.id = wanted;
    if found and exists (select from public.organization_members m where m.user_id = app.required_user_id()
        and m.organization_id = invitation.organization_id and m.role in ('OWNER', 'ADMIN')) then
        own_role := app.enter_organization(invitation.organization_id);
        select * into invitation from public.organization_invitations i where i.id = wanted;
    end if;
    if own_role is null or invitation.id is null or invitation.status = 'ACCEPTED' then
        perform app.refuse('NOT_FOUND', 'There is no such invitation that is pending.', '{"path": ["input", "id"]}');
    end if;
    perform app.require_rank_above(own_role, invitation.role);
    if invitation.status = 'PENDING' then
        update public.organization_invitations i set status = 'REVOKED', ended_at = now() where i.id = wanted;
        perform app.note_organization_change(invitation.organization_id, 'revoke_invitation',
            jsonb_build_object('invitation', 'organizationInvitation_' || wanted));
    end if;
    return wanted;
end;
$$;

-- Whether somebody may invite to a role now: owners to any, admins to those below their own. An
-- invitation is as good as who sent it, so that an admin who is removed does not come back by one that
-- they sent to themselves.
create or replace function app.may_invite(wanted uuid, inviter_id uuid, role text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.organization_members m
        where m.organization_id = wanted and m.user_id = inviter_id and (m.role = 'OWNER'
            or m.role = 'ADMIN' and app.organization_rank(may_invite.role) < app.organization_rank(m.role)));
$$;

-- Makes the caller a member and returns the organization; again, when they have accepted already.
-- NOT_FOUND for what is revoked, expired or unknown alike.
-- NOT_FOUND, too, once who invited might not invite to that role any more.
create or replace function app.accept_invitation(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    members_limit constant integer := 1000;
    actor_id uuid := app.required_user_id();
    own_key text := (select u.email_key from public.users u where u.id = actor_id and not u.is_anonymous);
    invitation public.organization_invitations;
begin
    select * into invitation from public.organization_invitations i where i.id = wanted;
    if found and invitation.email_key is distinct from own_key then
        perform app.refuse('FORBIDDEN',
            'This invitation is for another e-mail address. Sign in with the one that it was sent to.');
    end if;
    perform from public.organizations o where o.id = invitation.organization_id for no key update;
    select * into invitation from public.organization_invitations i where i.id = wanted;
    if invitation.status = 'ACCEPTED' and exists (select from public.organization_members m
        where m.organization_id = invitation.organization_id and m.user_id = actor_id) then
        return invitation.organization_id;
    end if;
    if invitation.id is null or invitation.status <> 'PENDING' or invitation.expires_at <= now()
        or not app.may_invite(invitation.organization_id, invitation.invited_by, invitation.role) then
        perform app.refuse('NOT_FOUND', 'There is no such invitation, or it is over. Ask for a new one.',
            '{"path": ["input", "token"]}');
    end if;
    if (select count(*) from public.organization_members m
        where m.organization_id = invitation.organization_id and not m.is_robot) >= members_limit then
        perform app.refuse('LIMIT_EXCEEDED', format('The organization has %s members, which is the most.', members_limit));
    end if;
    if not exists (select from public.organization_members m
        where m.organization_id = invitation.organization_id and m.user_id = actor_id) then
        perform app.enforce_plan_limit(invitation.organization_id, 'SEATS');
    end if;
    insert into public.organization_members (organization_id, user_id, role)
    values (invitation.organization_id, actor_id, invitation.role) on conflict do nothing;
    update public.organization_invitations i set status = 'ACCEPTED', ended_at = now(), accepted_by = actor_id
    where i.id = wanted;
    update public.users u set selected_organization_id = coalesce(u.selected_organization_id, invitation.organization_id)
    where u.id = actor_id;
    perform app.note_organization_change(invitation.organization_id, 'accept_invitation');
    return invitation.organization_id;
end;
$$;

-- A member of an organization; NOT_FOUND for who is none.
create or replace function app.required_member(wanted uuid, member_id uuid) returns public.organization_members
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    membership public.organization_members;
begin
    select * into membership from public.organization_members m
    where m.organization_id = wanted and m.user_id = member_id and not m.is_robot;
    if not found then
        perform app.refuse('NOT_FOUND', 'There is no such member.', '{"path": ["input", "userId"]}');
    end if;
    return membership;
end;
$$;

-- Gives a member another role and returns the membership.
create or replace function app.set_member_role(wanted uuid, member_id uuid, role text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    own_role text := app.enter_organization(wanted);
    membership public.organization_members := app.required_member(wanted, member_id);
begin
    perform app.require_rank_above(own_role, membership.role);
    perform app.require_rank_above(own_role, set_member_role.role);
    if membership.role = 'OWNER' and set_member_role.role <> 'OWNER' then
        perform app.require_other_owner(wanted, member_id);
    end if;
    if membership.role <> set_member_role.role then
        if set_member_role.role = 'OWNER' then
            perform app.require_room_to_own(member_id);
        end if;
        update public.organization_members m set role = set_member_role.role where m.id = membership.id;
        perform app.note_organization_change(wanted, 'set_member_role',
            jsonb_build_object('member', 'user_' || member_id, 'role', set_member_role.role));
    end if;
    return membership.id;
end;
$$;

-- Ends a membership and returns the organization.
create or replace function app.remove_member(wanted uuid, member_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    own_role text := app.enter_organization(wanted);
    membership public.organization_members := app.required_member(wanted, member_id);
begin
    perform app.require_rank_above(own_role, membership.role);
    if membership.role = 'OWNER' then
        perform app.require_other_owner(wanted, member_id);
    end if;
    delete from public.organization_members m where m.id = membership.id;
    perform app.note_organization_change(wanted, 'remove_member', jsonb_build_object('member', 'user_' || member_id));
    return wanted;
end;
$$;

-- Ends the caller's own membership.
create or replace function app.leave_organization(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if app.enter_organization(wanted) = 'OWNER' then
        perform app.require_other_owner(wanted, app.user_id());
    end if;
    delete from public.organization_members m where m.organization_id = wanted and m.user_id = app.user_id();
    perform app.note_organization_change(wanted, 'leave_organization');
    return app.user_id();
end;
$$;

-- Makes a member the owner in the place of the caller, who is an admin from now on.
create or replace function app.transfer_ownership(wanted uuid, member_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    own_role text := app.enter_organization(wanted);
    membership public.organization_members := app.required_member(wanted, member_id);
begin
    if own_role <> 'OWNER' then
        perform app.refuse('FORBIDDEN', format('Your role is %s. Only an owner can transfer an organization.', own_role));
    end if;
    if member_id <> app.user_id() then
        if membership.role <> 'OWNER' then
            perform app.require_room_to_own(member_id);
        end if;
        update public.organization_members m
        set role = case m.user_id when member_id then 'OWNER' else 'ADMIN' end
        where m.organization_id = wanted and m.user_id in (member_id, app.user_id());
        perform app.note_organization_change(wanted, 'transfer_ownership',
            jsonb_build_object('member', 'user_' || member_id));
    end if;
    return wanted;
end;
$$;

-- Sets which organization the caller works in, or none for null.
create or replace function app.select_organization(wanted uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    actor_id uuid := app.required_user_id();
begin
    if wanted is not null then
        -- Kept from ending until the choice is written, whose trigger clears it.
        perform from public.organization_members m
        where m.organization_id = wanted and m.user_id = actor_id for share;
        if not found then
            perform app.refuse('NOT_FOUND', 'There is no such organization.',
                '{"path": ["input", "organizationId"]}');
        end if;
    end if;
    update public.users u set selected_organization_id = wanted where u.id = actor_id;
    if not found then
        perform app.refuse_nobody();
    end if;
    return actor_id;
end;
$$;

-- Trigger: a membership shows its user's e-mail and name.
create or replace function app.name_member() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select u.email, u.display_name into new.email, new.display_name from public.users u where u.id = new.user_id;
    return new;
end;
$$;

-- Trigger: what a user changes of e-mail and name shows in all their memberships.
create or replace function app.rename_member() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update public.organization_members m set email = new.email, display_name = new.display_name
    where m.user_id = new.id;
    return null;
end;
$$;

-- Trigger: nobody works in an organization that they left. When the only owner's account goes, the
-- highest role that has been there longest is the owner; without members the organization goes too.
create or replace function app.end_membership() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    heir uuid;
begin
    update public.users u set selected_organization_id = null
    where u.id = old.user_id and u.selected_organization_id = old.organization_id;
    if old.role <> 'OWNER' or not exists (select from public.organizations o where o.id = old.organization_id)
        or exists (select from public.organization_members m
            where m.organization_id = old.organization_id and m.role = 'OWNER') then
        return null;
    end if;
    select m.id into heir from public.organization_members m
    where m.organization_id = old.organization_id and not m.is_robot
    order by app.organization_rank(m.role) desc, m.joined_at, m.id limit 1;
    if heir is null then
        delete from public.organizations o where o.id = old.organization_id;
    else
        update public.organization_members m set role = 'OWNER' where m.id = heir;
    end if;
    return null;
end;
$$;

revoke execute on function app.found_organization(uuid, text), app.found_first_organization(uuid),
    app.organization_rank(text), app.enter_organization(uuid),
    app.require_rank_above(text, text), app.require_other_owner(uuid, uuid), app.require_room_to_own(uuid),
    app.note_organization_change(uuid, text, jsonb), app.required_member(uuid, uuid),
    app.create_organization(text, text),
    app.mail_invitation(uuid, timestamptz),
    app.invite_member(uuid, text, text, text), app.revoke_invitation(uuid), app.accept_invitation(uuid),
    app.set_member_role(uuid, uuid, text), app.remove_member(uuid, uuid), app.leave_organization(uuid),
    app.transfer_ownership(uuid, uuid), app.select_organization(uuid), app.name_member(),
    app.rename_member(), app.end_membership(), app.may_invite(uuid, uuid, text) from public;
grant execute on function app.create_organization(text, text),
    app.invite_member(uuid, text, text, text), app.revoke_invitation(uuid), app.accept_invitation(uuid),
    app.set_member_role(uuid, uuid, text), app.remove_member(uuid, uuid), app.leave_organization(uuid),
    app.transfer_ownership(uuid, uuid), app.select_organization(uuid) to authenticated;
