// What is asked about organizations. Payloads select what lists show, so that Apollo's cache follows by itself.

import { graphql } from "../gql";

graphql(`
  fragment MembershipRow on OrganizationMember {
    id
    role
    organization { id name }
  }
`);

graphql(`
  fragment OrganizationPeople on Organization {
    id
    name
    members(first: 100) { nodes { id role joinedAt user { id email displayName } } }
    invitations(first: 100) { nodes { id email role status isExpired expiresAt token } }
    usage { seats }
    limits { seats }
  }
`);

graphql(`
  fragment UserPlaces on User {
    id
    email
    memberships(first: 100) { nodes { ...MembershipRow } }
    selectedOrganization { id name }
  }
`);

export const SHELL = graphql(`
  query Shell {
    viewer { ...UserPlaces }
  }
`);

export const PEOPLE = graphql(`
  query People($id: ID!) {
    organization(id: $id) { ...OrganizationPeople }
  }
`);

export const CREATE_ORGANIZATION = graphql(`
  mutation CreateOrganization($input: CreateOrganizationInput!) {
    createOrganization(input: $input) {
      organization { id name }
      viewer { ...UserPlaces }
      errors { code message path }
    }
  }
`);

export const RENAME_ORGANIZATION = graphql(`
  mutation RenameOrganization($input: RenameOrganizationInput!) {
    renameOrganization(input: $input) {
      organization { id name }
      errors { code message path }
    }
  }
`);

export const SELECT_ORGANIZATION = graphql(`
  mutation SelectOrganization($input: SelectOrganizationInput!) {
    selectOrganization(input: $input) {
      viewer { id selectedOrganization { id name } }
      errors { code message path }
    }
  }
`);

export const LEAVE_ORGANIZATION = graphql(`
  mutation LeaveOrganization($input: LeaveOrganizationInput!) {
    leaveOrganization(input: $input) {
      viewer { ...UserPlaces }
      errors { code message path }
    }
  }
`);

export const ACCEPT_INVITATION = graphql(`
  mutation AcceptInvitation($input: AcceptInvitationInput!) {
    acceptInvitation(input: $input) {
      organization { id name }
      viewer { ...UserPlaces }
      errors { code message path }
    }
  }
`);

export const INVITE_MEMBER = graphql(`
  mutation InviteMember($input: InviteMemberInput!) {
    inviteMember(input: $input) {
      invitation { id email token }
      viewer { id selectedOrganization { ...OrganizationPeople } }
      errors { code message path }
    }
  }
`);

export const REVOKE_INVITATION = graphql(`
  mutation RevokeInvitation($input: RevokeInvitationInput!) {
    revokeInvitation(input: $input) {
      invitation { id status isExpired token }
      errors { code message path }
    }
  }
`);

export const SET_MEMBER_ROLE = graphql(`
  mutation SetMemberRole($input: SetMemberRoleInput!) {
    setMemberRole(input: $input) {
      member { id role }
      errors { code message path }
    }
  }
`);

export const REMOVE_MEMBER = graphql(`
  mutation RemoveMember($input: RemoveMemberInput!) {
    removeMember(input: $input) {
      organization { ...OrganizationPeople }
      errors { code message path }
    }
  }
`);

export const TRANSFER_OWNERSHIP = graphql(`
  mutation TransferOwnership($input: TransferOwnershipInput!) {
    transferOwnership(input: $input) {
      organization { ...OrganizationPeople }
      errors { code message path }
    }
  }
`);

/** Whatever changes of the organization, by anybody: its people and what it pays for. */
export const WATCH_ORGANIZATION = graphql(`
  subscription WatchOrganization($id: ID!) {
    organizationChanged(id: $id) {
      cursor
      organization { ...OrganizationPeople ...OrganizationBill }
    }
  }
`);
