/** The dashboard's root: the sign-in page, or the page that the URL names. */

import { lazy, Suspense } from "react";
import { BrowserRouter, Navigate, Route, Routes } from "react-router";
import { Api } from "./api/api";
import { MeProvider } from "./me";
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
    // Filters are typed into the URL; with transitions the input would lag behind the keyboard.
    <BrowserRouter basename="/dashboard" useTransitions={false}>
      {identity.token ? (
        // Another user may see other data, so the whole tree is mounted again.
        <Api key={JSON.stringify(identity)} identity={identity}>
          <MeProvider>
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
          </MeProvider>
        </Api>
      ) : (
        <SignInPage />
      )}
    </BrowserRouter>
  );
}
