/** The roles, and what they mean. */

import type { MemberRole } from "../__generated__/graphql";

export const ROLES: readonly { value: MemberRole; label: string }[] = [
  { value: "VIEWER", label: "Viewer: looks at tenants, runs and the feed" },
  { value: "ADMIN", label: "Admin: everything but what concerns the owner" },
  { value: "OWNER", label: "Owner: everything; there is exactly one" },
];
