/** The people page: the members and the service accounts of the organisation. */

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
          Only the owner and the admins of the organisation can manage members and service accounts. Ask one of them.
        </Empty>
      )}
    </main>
  );
}
