/** Signing in: at the identity provider, as somebody whom the seed made, or with a token. */

import { lazy, Suspense } from "react";
import { useLocation } from "react-router";
import { signIn, useSession } from "../session";
import { Button } from "../ui/button";
import { Loading } from "../ui/notice";
import { type Offer, type Seeded, useOffer } from "./offer";
import { PasteForm } from "./paste-form";

// Whoever pastes a token has no use for the program that talks to providers.
const AtProvider = lazy(async () => ({ default: (await import("./at-provider")).AtProvider }));

export function SignInPage() {
  const { farewell } = useSession();
  const { offer, problem } = useOffer();
  return (
    <main className="page narrow">
      <h1>Sign in to Tenantry</h1>
      {farewell && (
        <p className="notice warn" role="status">
          {farewell}
        </p>
      )}
      {problem && (
        <p className="notice bad" role="alert">
          {problem}
        </p>
      )}
      {offer ? <Ways offer={offer} /> : !problem && <Loading lines={4} />}
      <PasteForm />
    </main>
  );
}

function Ways({ offer: { provider, seeded } }: { offer: Offer }) {
  const { pathname, search } = useLocation();
  return (
    <>
      {provider && (
        <Suspense fallback={<Loading lines={2} />}>
          <AtProvider provider={provider} back={pathname + search} />
        </Suspense>
      )}
      {seeded.length > 0 && <Seeds seeded={seeded} />}
    </>
  );
}

/** On a machine of one's own, be anybody. */
function Seeds({ seeded }: { seeded: readonly Seeded[] }) {
  const houses = [...new Set(seeded.map((one) => one.organization))];
  return (
    <section className="card" aria-labelledby="seeded">
      <h2 id="seeded">Be somebody</h2>
      <p className="hint">This is a development server. Its seed has made these people.</p>
      {houses.map((house) => (
        <fieldset className="row" key={house}>
          <legend>{house ?? "the platform"}</legend>
          {seeded
            .filter((one) => one.organization === house)
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
