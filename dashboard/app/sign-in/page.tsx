/** The sign-in page: at the identity provider, as a seeded user, or with a token. */

import { lazy, Suspense } from "react";
import { useLocation } from "react-router";
import { signIn, useSession } from "../../shared/session";
import { Button } from "../ui/button";
import { Loading } from "../ui/notice";
import { type SeededUser, type SignInOptions, useSignInOptions } from "./options";
import { PasteForm } from "./paste-form";

// Loaded only when a provider is configured: signing in with a token does not need the OpenID Connect library.
const ProviderSignIn = lazy(async () => ({ default: (await import("./provider-sign-in")).ProviderSignIn }));

export function SignInPage() {
  const { endReason } = useSession();
  const { options, problem } = useSignInOptions();
  return (
    <main className="page narrow">
      <h1>Sign in to Tenantry</h1>
      {endReason && (
        <p className="notice warn" role="status">
          {endReason}
        </p>
      )}
      {problem && (
        <p className="notice bad" role="alert">
          {problem}
        </p>
      )}
      {options ? <Choices options={options} /> : !problem && <Loading lines={4} />}
      <PasteForm />
    </main>
  );
}

function Choices({ options: { provider, seeded } }: { options: SignInOptions }) {
  const { pathname, search } = useLocation();
  return (
    <>
      {provider && (
        <Suspense fallback={<Loading lines={2} />}>
          <ProviderSignIn provider={provider} target={pathname + search} />
        </Suspense>
      )}
      {seeded.length > 0 && <SeededUsers seeded={seeded} />}
    </>
  );
}

/** On a development server, a button for each user whom the seed created. */
function SeededUsers({ seeded }: { seeded: readonly SeededUser[] }) {
  const organizations = [...new Set(seeded.map((one) => one.organization))];
  return (
    <section className="card" aria-labelledby="seeded">
      <h2 id="seeded">Sign in as</h2>
      <p className="hint">This is a development server. These users were created by its seed.</p>
      {organizations.map((organization) => (
        <fieldset className="row" key={organization}>
          <legend>{organization ?? "platform"}</legend>
          {seeded
            .filter((one) => one.organization === organization)
            .map(({ role, token }) => (
              <Button key={role} onPress={() => signIn({ token, organization: "" })}>
                {role}
              </Button>
            ))}
        </fieldset>
      ))}
    </section>
  );
}
