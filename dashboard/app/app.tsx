/** The dashboard: who is signed in decides what there is, the address which part of it is shown. */

import { lazy, Suspense } from "react";
import { BrowserRouter, Navigate, Route, Routes } from "react-router";
import { Api } from "./api/api";
import { WhoeverThisIs } from "./me";
import { useSession } from "./session";
import { Shell } from "./shell";
import { SignInPage } from "./sign-in/page";
import { TenantPage } from "./tenant/page";
import { TenantsPage } from "./tenants/page";
import { Loading } from "./ui/notice";

const AuditPage = lazy(async () => ({ default: (await import("./audit/page")).AuditPage }));
const PeoplePage = lazy(async () => ({ default: (await import("./people/page")).PeoplePage }));

export function App() {
  const { identity } = useSession();
  return (
    // Conditions are typed into the address: put off, they would lag behind the fingers.
    <BrowserRouter basename="/dashboard" useTransitions={false}>
      {identity.token ? (
        // Somebody else may see other things, so that everything begins anew then.
        <Api key={JSON.stringify(identity)} identity={identity}>
          <WhoeverThisIs>
            <Shell>
              <Suspense fallback={<Loading />}>
                <Routes>
                  <Route path="/tenants" element={<TenantsPage />} />
                  <Route path="/tenants/:key" element={<TenantPage />} />
                  <Route path="/audit" element={<AuditPage />} />
                  <Route path="/people" element={<PeoplePage />} />
                  <Route path="*" element={<Navigate to="/tenants" replace />} />
                </Routes>
              </Suspense>
            </Shell>
          </WhoeverThisIs>
        </Api>
      ) : (
        <SignInPage />
      )}
    </BrowserRouter>
  );
}
