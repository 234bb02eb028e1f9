/** The tenant as its page queries it. */

import type { TenantQuery } from "../__generated__/graphql";

export type Tenant = NonNullable<TenantQuery["tenant"]>;
