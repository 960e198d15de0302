// What a Relay app would ask of this server; only the compiler reads it.

import { graphql } from "react-relay";

export const row = graphql`
  fragment profiles_row on Profile {
    id
    name
    analysis
    createdAt
  }
`;

export const list = graphql`
  fragment profiles_list on User
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "Cursor" })
  @refetchable(queryName: "profilesPageQuery") {
    profiles(first: $count, after: $cursor) @connection(key: "profiles_profiles") {
      edges {
        node {
          ...profiles_row
        }
      }
    }
  }
`;

export const screen = graphql`
  query profilesScreenQuery {
    viewer {
      id
      ...profiles_list
    }
  }
`;

export const one = graphql`
  query profilesOneQuery($id: ID!) {
    node(id: $id) {
      ...profiles_row @alias
    }
  }
`;

export const create = graphql`
  mutation profilesCreateMutation($input: CreateProfileInput!, $connections: [ID!]!) {
    createProfile(input: $input) {
      profile @appendNode(connections: $connections, edgeTypeName: "ProfileEdge") {
        ...profiles_row
      }
      errors {
        code
        message
        path
      }
    }
  }
`;

export const remove = graphql`
  mutation profilesDeleteMutation($id: ID!, $connections: [ID!]!) {
    deleteProfile(input: { id: $id }) {
      deletedId @deleteEdge(connections: $connections)
      errors {
        code
      }
    }
  }
`;

export const wallet = graphql`
  subscription profilesWalletSubscription($after: Cursor) {
    creditsChanged(after: $after) {
      cursor
      credits {
        available
      }
    }
  }
`;
