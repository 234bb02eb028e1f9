/** The service accounts: the identities of partners' programs, their rights and their state. */

import { useState } from "react";
import { PeopleServiceAccountsDocument } from "../__generated__/graphql";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pagination } from "../ui/pagination";
import { CreateAccountDialog } from "./create-account-dialog";
import { usePagedQuery } from "./paged-query";
import { AccountsTable } from "./service-accounts-table";

export function ServiceAccounts() {
  const { data, error, refetch, turn } = usePagedQuery(PeopleServiceAccountsDocument);
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
      {error && <Problem error={error} onRetry={refetch} />}
      {!data && !error && <Loading />}
      {accounts?.length === 0 && (
        <Empty>There are no service accounts here. Create one for each program that calls the API.</Empty>
      )}
      {accounts && accounts.length > 0 && <AccountsTable accounts={accounts} refetch={refetch} onDone={setDone} />}
      {list && <Pagination label="Pages of service accounts" page={list.pageInfo} onTurn={turn} />}
      {creating && <CreateAccountDialog onClose={() => setCreating(false)} />}
    </section>
  );
}
