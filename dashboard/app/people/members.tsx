/** The members: name, e-mail address, role, and since when. */

import { useState } from "react";
import { type MemberRowFragment, PeopleMembersDocument } from "../__generated__/graphql";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pagination } from "../ui/pagination";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { InviteDialog } from "./invite-dialog";
import { usePagedQuery } from "./paged-query";
import { RemoveDialog } from "./remove-dialog";
import { RoleDialog } from "./role-dialog";

export function Members() {
  const { data, error, refetch, turn } = usePagedQuery(PeopleMembersDocument);
  const [inviting, setInviting] = useState(false);
  const [done, setDone] = useState("");
  const list = data?.organization?.members;

  return (
    <section className="card" aria-labelledby="members">
      <div className="page-head">
        <h2 id="members">Members</h2>
        <Button weight="primary" onPress={() => setInviting(true)}>
          Invite a member
        </Button>
      </div>
      <p className="hint" role="status">
        {done}
      </p>
      {error && <Problem error={error} onRetry={refetch} />}
      {!data && !error && <Loading />}
      {list && <List members={list.edges.map((edge) => edge.node)} refetch={refetch} onDone={setDone} />}
      {list && <Pagination label="Pages of members" page={list.pageInfo} onTurn={turn} />}
      {inviting && <InviteDialog onDone={setDone} onClose={() => setInviting(false)} />}
    </section>
  );
}

interface ListProps {
  members: readonly MemberRowFragment[];
  refetch: () => void;
  onDone: (message: string) => void;
}

function List({ members, refetch, onDone }: ListProps) {
  if (members.length === 0) return <Empty>There are no members on this page. Go back to the previous one.</Empty>;
  return (
    <Scroll label="Members">
      <table>
        <caption className="visually-hidden">Members</caption>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">E-mail</th>
            <th scope="col">Role</th>
            <th scope="col">Since</th>
            <th scope="col">Actions</th>
          </tr>
        </thead>
        <tbody>
          {members.map((member) => (
            <Row key={member.id} member={member} refetch={refetch} onDone={onDone} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** No one can change or remove the owner; the ownership is given to another member. If the owner changed, the server refuses. */
function Row({ member, refetch, onDone }: { member: MemberRowFragment } & Omit<ListProps, "members">) {
  const [dialog, setDialog] = useState<"role" | "remove">();
  const shared = { member, refetch, onDone, onClose: () => setDialog(undefined) };
  return (
    <tr>
      <th scope="row">{member.name}</th>
      <td>{member.email}</td>
      <td>{member.role}</td>
      <td>
        <Since member={member} />
      </td>
      <td>
        {member.role === "OWNER" && (
          <span className="hint">To change this, give the role OWNER to another member.</span>
        )}
        <div className="row" hidden={member.role === "OWNER"}>
          <Button onPress={() => setDialog("role")}>
            Change role <span className="visually-hidden">of {member.name}</span>
          </Button>
          <Button weight="danger" onPress={() => setDialog("remove")}>
            Remove <span className="visually-hidden">{member.name}</span>
          </Button>
        </div>
        {dialog === "role" && <RoleDialog {...shared} />}
        {dialog === "remove" && <RemoveDialog {...shared} />}
      </td>
    </tr>
  );
}

function Since({ member: { pending, createdAt, invitedAt, joinedAt } }: { member: MemberRowFragment }) {
  if (!pending) return <Time at={joinedAt ?? createdAt} />;
  return (
    <>
      <Badge tone="warn">invited</Badge> <Time at={invitedAt ?? createdAt} />
    </>
  );
}
