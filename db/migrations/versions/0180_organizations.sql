-- Organizations, members and invitations, with their access policies; who works in which.
CREATE TABLE organizations (
    id UUID DEFAULT app.uuid_v7() NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_organizations PRIMARY KEY (id),
    CONSTRAINT ck_organizations_name CHECK (length(name) between 1 and 100)
);
CREATE TABLE organization_members (
    id UUID DEFAULT app.uuid_v7() NOT NULL,
    organization_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    email TEXT,
    display_name TEXT,
    joined_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_organization_members PRIMARY KEY (id),
    CONSTRAINT ck_organization_members_role CHECK (role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    CONSTRAINT fk_organization_members_organization_id FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT fk_organization_members_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_organization_members_organization_id ON organization_members (organization_id, joined_at, id);
CREATE INDEX ix_organization_members_user_id_joined_at_id ON organization_members (user_id, joined_at, id);
CREATE UNIQUE INDEX uq_organization_members_user_id ON organization_members (user_id, organization_id);
CREATE TABLE organization_invitations (
    id UUID DEFAULT app.uuid_v7() NOT NULL,
    organization_id UUID NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT DEFAULT 'PENDING' NOT NULL,
    invited_by UUID,
    accepted_by UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_organization_invitations PRIMARY KEY (id),
    CONSTRAINT ck_organization_invitations_role CHECK (role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    CONSTRAINT ck_organization_invitations_status CHECK (status in ('PENDING', 'ACCEPTED', 'REVOKED')),
    CONSTRAINT fk_organization_invitations_organization_id FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT fk_organization_invitations_invited_by FOREIGN KEY(invited_by) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT fk_organization_invitations_accepted_by FOREIGN KEY(accepted_by) REFERENCES users (id) ON DELETE SET NULL
);
CREATE INDEX ix_organization_invitations_accepted_by ON organization_invitations (accepted_by);
CREATE INDEX ix_organization_invitations_invited_by ON organization_invitations (invited_by);
CREATE INDEX ix_organization_invitations_organization_id ON organization_invitations (organization_id, created_at, id);
CREATE UNIQUE INDEX uq_organization_invitations_pending ON organization_invitations (organization_id, email_key) WHERE status = 'PENDING';

alter table users add column selected_organization_id uuid;
alter table users add constraint fk_users_selected_organization_id
    foreign key (selected_organization_id) references organizations (id) on delete set null;
create index ix_users_selected_organization_id on users (selected_organization_id);
grant select (selected_organization_id) on users to authenticated;

create or replace function app.organization_ids(roles text[]) returns uuid[] language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$ begin return array(select m.organization_id from public.organization_members m where m.user_id = app.user_id() and (roles = '{}' or m.role = any (roles))); end; $$;
create or replace function app.reread_organization_ids(member uuid, roles text[]) returns uuid[] language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp as $$ begin return array(select m.organization_id from public.organization_members m where m.user_id = member and (roles = '{}' or m.role = any (roles))); end; $$;
revoke execute on function app.organization_ids(text[]) from public;
grant execute on function app.organization_ids(text[]) to authenticated;
revoke execute on function app.reread_organization_ids(uuid, text[]) from public;
grant execute on function app.reread_organization_ids(uuid, text[]) to authenticated;

alter table organizations enable row level security;
create policy member_select on organizations for select to authenticated using (id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()));
create policy member_update on organizations for update to authenticated using (id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[])) with check (id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]));
create policy service_all on organizations for all to service using (true) with check (true);
grant select (id, name, created_at, updated_at) on organizations to authenticated;
grant update (name, updated_at) on organizations to authenticated;
grant select on organizations to service;
alter table organization_members enable row level security;
create policy owner_select on organization_members for select to authenticated using (user_id = (select app.user_id()) or organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()));
create policy service_all on organization_members for all to service using (true) with check (true);
grant select (id, organization_id, user_id, role, email, display_name, joined_at) on organization_members to authenticated;
grant select on organization_members to service;
alter table organization_invitations enable row level security;
create policy member_select on organization_invitations for select to authenticated using (organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]) or (select app.is_admin()));
create policy service_all on organization_invitations for all to service using (true) with check (true);
grant select (id, organization_id, email, role, status, invited_by, accepted_by, created_at, expires_at, ended_at) on organization_invitations to authenticated;
grant select on organization_invitations to service;

-- The bodies of these come with the SQL functions, which are replaced in the same run.
create or replace function app.name_member() returns trigger language plpgsql as $$ begin return new; end; $$;
create or replace function app.rename_member() returns trigger language plpgsql as $$ begin return null; end; $$;
create or replace function app.end_membership() returns trigger language plpgsql as $$ begin return null; end; $$;
create trigger name_member before insert on organization_members
    for each row execute function app.name_member();
create trigger rename_member after update on users for each row
    when (old.email is distinct from new.email or old.display_name is distinct from new.display_name)
    execute function app.rename_member();
create trigger end_membership after delete on organization_members
    for each row execute function app.end_membership();
