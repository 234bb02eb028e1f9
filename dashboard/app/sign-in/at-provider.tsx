/** The way over the identity provider, there and back. */

import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { signIn } from "../session";
import { Button } from "../ui/button";
import { Field } from "../ui/field";
import { Loading } from "../ui/notice";
import type { Provider } from "./offer";
import { arrive, leaveFor } from "./provider";

const RETURN = "/signed-in";

export function AtProvider({ provider, back }: { provider: Provider; back: string }) {
  return back.startsWith(RETURN) ? <Arriving provider={provider} /> : <Leaving provider={provider} back={back} />;
}

function Leaving({ provider, back }: { provider: Provider; back: string }) {
  const [organization, setOrganization] = useState("");
  const [problem, setProblem] = useState("");
  return (
    <section className="card">
      <Field
        label="Organisation"
        value={organization}
        onChange={setOrganization}
        hint="Its slug, if you belong to several."
      />
      <Button
        weight="primary"
        onPress={() => leaveFor(provider, organization, back).catch((error: Error) => setProblem(error.message))}
      >
        {`Sign in at ${new URL(provider.issuer).host}`}
      </Button>
      {problem && (
        <p className="notice bad" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}

function Arriving({ provider }: { provider: Provider }) {
  const navigate = useNavigate();
  const [problem, setProblem] = useState("");
  // A code is good once, and React runs effects twice in development.
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    arrive(provider).then(
      ({ token, organization, back }) => {
        navigate(back, { replace: true });
        signIn({ token, organization });
      },
      (error: Error) => setProblem(error.message),
    );
  }, [provider, navigate]);
  if (!problem) return <Loading lines={2} />;
  return (
    <section className="notice bad" role="alert">
      <p>The sign-in did not work: {problem}</p>
      <a href="/dashboard/tenants">Begin again</a>
    </section>
  );
}
