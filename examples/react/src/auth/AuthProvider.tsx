// Gives the app the session, as it changes in this tab or another.

import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { endpoint } from "../api/endpoint";
import { AuthClient, type Session } from "./authClient";

export const auth = new AuthClient(endpoint("http"));

type AuthState = { session: Session | null; isLoading: boolean };

const AuthContext = createContext<AuthState>({ session: null, isLoading: true });

export function AuthProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState<AuthState>({ session: null, isLoading: true });
  useEffect(() => {
    const { data } = auth.onAuthStateChange((_event, session) => setState({ session, isLoading: false }));
    return () => data.subscription.unsubscribe();
  }, []);
  return <AuthContext value={state}>{children}</AuthContext>;
}

export function useAuth(): AuthState {
  return useContext(AuthContext);
}
