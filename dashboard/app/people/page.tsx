/** Who belongs to the organisation: people, and their partners' programs. */

import { useMe } from "../me";
import { Empty } from "../ui/notice";
import { useTitle } from "../ui/title";
import { Members } from "./members";
import { ServiceAccounts } from "./service-accounts";

export function PeoplePage() {
  useTitle("People · Tenantry");
  const me = useMe();
  return (
    <main className="page">
      <header className="page-head">
        <h1>People</h1>
      </header>
      {me.may("members:manage") ? (
        <>
          <Members />
          <ServiceAccounts />
        </>
      ) : (
        <Empty>
          Members and service accounts are managed by the owner and the admins of the organisation. Ask one of them.
        </Empty>
      )}
    </main>
  );
}
