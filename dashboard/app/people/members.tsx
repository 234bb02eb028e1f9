/** The members: who they are, in which role, and since when. */

import { useCallback, useState } from "react";
import { useQuery } from "urql";
import { type MemberRowFragment, PeopleMembersDocument } from "../__generated__/graphql";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { Empty, Loading, Problem } from "../ui/notice";
import { Pages } from "../ui/pages";
import { Scroll } from "../ui/scroll";
import { Time } from "../ui/time";
import { InviteDialog } from "./invite-dialog";
import { usePlace } from "./place";
import { RemoveDialog } from "./remove-dialog";
import { RoleDialog } from "./role-dialog";

export function Members() {
  const { window, turn } = usePlace();
  const [{ data, error }, ask] = useQuery({
    query: PeopleMembersDocument,
    variables: window,
    requestPolicy: "cache-and-network",
  });
  const again = useCallback(() => ask({ requestPolicy: "network-only" }), [ask]);
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
      {error && <Problem error={error} onRetry={again} />}
      {!data && !error && <Loading />}
      {list && <List members={list.edges.map((edge) => edge.node)} again={again} onDone={setDone} />}
      {list && <Pages label="Pages of members" page={list.pageInfo} onTurn={turn} />}
      {inviting && <InviteDialog onDone={setDone} onClose={() => setInviting(false)} />}
    </section>
  );
}

interface ListProps {
  members: readonly MemberRowFragment[];
  again: () => void;
  onDone: (sentence: string) => void;
}

function List({ members, again, onDone }: ListProps) {
  if (members.length === 0) return <Empty>Nobody is on this page. Go back to the one before.</Empty>;
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
            <Row key={member.id} member={member} again={again} onDone={onDone} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** What somebody may not do is for the server to say: it knows who the owner is at that moment. */
function Row({ member, again, onDone }: { member: MemberRowFragment } & Omit<ListProps, "members">) {
  const [dialog, setDialog] = useState<"role" | "remove">();
  const shared = { member, again, onDone, onClose: () => setDialog(undefined) };
  return (
    <tr>
      <th scope="row">{member.name}</th>
      <td>{member.email}</td>
      <td>{member.role}</td>
      <td>
        <Since member={member} />
      </td>
      <td>
        <div className="row">
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
