/** Signing in at the identity provider: the form that sends the browser there, and the return. */

import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { signIn } from "../../shared/session";
import { Button } from "../ui/button";
import { Field } from "../ui/field";
import { Loading } from "../ui/notice";
import { type Provider, RETURN_PATH } from "./options";
import { completeSignIn, startSignIn } from "./provider";

export function ProviderSignIn({ provider, target }: { provider: Provider; target: string }) {
  return target.startsWith(RETURN_PATH) ? (
    <Completing provider={provider} />
  ) : (
    <StartForm provider={provider} target={target} />
  );
}

function StartForm({ provider, target }: { provider: Provider; target: string }) {
  const [organization, setOrganization] = useState("");
  const [problem, setProblem] = useState("");
  return (
    <section className="card">
      <Field
        label="Organisation"
        value={organization}
        onChange={setOrganization}
        hint="The organisation’s slug. Needed only if you belong to several."
      />
      <Button
        weight="primary"
        onPress={() => startSignIn(provider, organization, target).catch((error: Error) => setProblem(error.message))}
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

function Completing({ provider }: { provider: Provider }) {
  const navigate = useNavigate();
  const [problem, setProblem] = useState("");
  // An authorization code is valid once, and React runs effects twice in development.
  const started = useRef(false);
  useEffect(() => {
    if (started.current) return;
    started.current = true;
    completeSignIn(provider).then(
      ({ token, organization, target }) => {
        navigate(target, { replace: true });
        signIn({ token, organization });
      },
      (error: Error) => setProblem(error.message),
    );
  }, [provider, navigate]);
  if (!problem) return <Loading lines={2} />;
  return (
    <section className="notice bad" role="alert">
      <p>Could not complete the sign-in: {problem}</p>
      <a href="/dashboard/tenants">Start again</a>
    </section>
  );
}
