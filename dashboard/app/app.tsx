/** The dashboard's root: the sign-in page, or the page that the URL names. */

import { lazy, Suspense } from "react";
import { BrowserRouter, Navigate, Route, Routes } from "react-router";
import { useSession } from "../shared/session";
import { Api } from "./api/api";
import { MeProvider } from "./me";
import { NotFoundPage } from "./not-found";
import { Shell } from "./shell";
import { RETURN_PATH } from "./sign-in/options";
import { SignInPage } from "./sign-in/page";
import { TenantPage } from "./tenant/page";
import { TenantsPage } from "./tenants/page";
import { AppBoundary, PageBoundary } from "./ui/error-boundary";
import { Loading } from "./ui/notice";
import { UnexpectedErrors } from "./ui/unexpected-errors";

const AuditPage = lazy(async () => ({ default: (await import("./audit/page")).AuditPage }));
const PeoplePage = lazy(async () => ({ default: (await import("./people/page")).PeoplePage }));

export function App() {
  return (
    <AppBoundary>
      <UnexpectedErrors />
      {/* Filters are typed into the URL; with transitions the input would lag behind the keyboard. */}
      <BrowserRouter basename="/dashboard" useTransitions={false}>
        <SignedInOrNot />
      </BrowserRouter>
    </AppBoundary>
  );
}

function SignedInOrNot() {
  const { identity, asking } = useSession();
  if (asking) return <Loading />;
  if (!identity.token) {
    return (
      <PageBoundary>
        <SignInPage />
      </PageBoundary>
    );
  }
  return (
    // Another user may see other data, so the whole tree is mounted again.
    <Api key={JSON.stringify(identity)} identity={identity}>
      <MeProvider>
        <Shell>
          <PageBoundary>
            <Suspense fallback={<Loading />}>
              <Pages />
            </Suspense>
          </PageBoundary>
        </Shell>
      </MeProvider>
    </Api>
  );
}

export function Pages() {
  const toList = <Navigate to="/tenants" replace />;
  return (
    <Routes>
      <Route index element={toList} />
      {/* The return from the identity provider, opened again in a tab that is signed in. */}
      <Route path={RETURN_PATH} element={toList} />
      <Route path="/tenants" element={<TenantsPage />} />
      <Route path="/tenants/:key" element={<TenantPage />} />
      <Route path="/audit" element={<AuditPage />} />
      <Route path="/people" element={<PeoplePage />} />
      <Route path="*" element={<NotFoundPage />} />
    </Routes>
  );
}
