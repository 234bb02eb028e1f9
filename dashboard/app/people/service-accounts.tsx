/** The service accounts: what partners' programs may, and whether they still do. */

import { useCallback, useState } from "react";
import { useQuery } from "urql";
import { PeopleServiceAccountsDocument } from "../__generated__/graphql";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pages } from "../ui/pages";
import { CreateAccountDialog } from "./create-account-dialog";
import { usePlace } from "./place";
import { AccountsTable } from "./service-accounts-table";

export function ServiceAccounts() {
  const { window, turn } = usePlace();
  const [{ data, error }, ask] = useQuery({
    query: PeopleServiceAccountsDocument,
    variables: window,
    requestPolicy: "cache-and-network",
  });
  const again = useCallback(() => ask({ requestPolicy: "network-only" }), [ask]);
  const [creating, setCreating] = useState(false);
  const [done, setDone] = useState("");
  const list = data?.organization?.serviceAccounts;
  const accounts = list?.edges.map((edge) => edge.node);

  return (
    <section className="card" aria-labelledby="service-accounts">
      <div className="page-head">
        <h2 id="service-accounts">Service accounts</h2>
        <Button weight="primary" onPress={() => setCreating(true)}>
          Create a service account
        </Button>
      </div>
      <p className="hint" role="status">
        {done}
      </p>
      {error && <Problem error={error} onRetry={again} />}
      {!data && !error && <Loading />}
      {accounts?.length === 0 && (
        <Empty>There is none here. Create one for each program that is to call the API by itself.</Empty>
      )}
      {accounts && accounts.length > 0 && <AccountsTable accounts={accounts} again={again} onDone={setDone} />}
      {list && <Pages label="Pages of service accounts" page={list.pageInfo} onTurn={turn} />}
      {creating && <CreateAccountDialog onClose={() => setCreating(false)} />}
    </section>
  );
}
