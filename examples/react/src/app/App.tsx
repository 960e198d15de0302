// Which page stands at which address, for who is signed in and who is not.

import { Navigate, Outlet, Route, Routes } from "react-router";
import { ApiProvider } from "../api/ApiProvider";
import { SignInPage } from "../auth/SignInPage";
import { useAuth } from "../auth/AuthProvider";
import { BillingPage } from "../billing/BillingPage";
import { CampaignPage } from "../campaigns/CampaignPage";
import { CampaignsPage } from "../campaigns/CampaignsPage";
import { InvitationPage } from "../organizations/InvitationPage";
import { NewOrganizationPage } from "../organizations/NewOrganizationPage";
import { OrganizationProvider, usePlaces } from "../organizations/OrganizationProvider";
import { PeoplePage } from "../organizations/PeoplePage";
import { RunPage } from "../workflows/RunPage";
import { WorkflowPage } from "../workflows/WorkflowPage";
import { WorkflowsPage } from "../workflows/WorkflowsPage";
import { Shell, SignedOutShell } from "./Shell";

export function App() {
  const { session, isLoading } = useAuth();
  if (isLoading) return null;
  return session ? <SignedIn key={session.user.id} userId={session.user.id} /> : <SignedOutShell><SignInPage /></SignedOutShell>;
}

function SignedIn({ userId }: { userId: string }) {
  return (
    <ApiProvider userId={userId}>
      <OrganizationProvider>
        <Routes>
          <Route element={<Shell />}>
            <Route path="/organizations/new" element={<NewOrganizationPage />} />
            <Route path="/invitation" element={<InvitationPage />} />
            <Route element={<InOrganization />}>
              <Route index element={<WorkflowsPage />} />
              <Route path="/workflows/:id" element={<WorkflowPage />} />
              <Route path="/runs/:id" element={<RunPage />} />
              <Route path="/campaigns" element={<CampaignsPage />} />
              <Route path="/campaigns/:id" element={<CampaignPage />} />
              <Route path="/people" element={<PeoplePage />} />
              <Route path="/billing" element={<BillingPage />} />
            </Route>
            <Route path="*" element={<Navigate to="/" replace />} />
          </Route>
        </Routes>
      </OrganizationProvider>
    </ApiProvider>
  );
}

function InOrganization() {
  const { current } = usePlaces();
  // Another organization is another page: nothing of a form stays.
  return current ? <Outlet key={current.id} /> : <Navigate to="/organizations/new" replace />;
}
