/** The roles of members, with descriptions. */

import type { MemberRole } from "../__generated__/graphql";

export const ROLES: readonly { value: MemberRole; label: string }[] = [
  { value: "VIEWER", label: "Viewer: reads tenants, runs and the audit feed" },
  { value: "ADMIN", label: "Admin: everything except managing the owner" },
  { value: "OWNER", label: "Owner: everything; each organisation has exactly one" },
];
