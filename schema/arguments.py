"""What the arguments of root fields mean, in words for clients."""

import strawberry

GLOBAL_ID = strawberry.argument(description="Global id.")
GLOBAL_OR_DATABASE_ID = strawberry.argument(description="Global id, or the databaseId that addresses and logs have.")
GLOBAL_IDS = strawberry.argument(description="Global ids.")
SLUG = strawberry.argument(description="Slug.")
WANTED_SLUG = strawberry.argument(description="The slug that a tenant is to get.")
OWN_SLUG = strawberry.argument(description="Slug; the caller's own when absent.")
CONDITIONS = strawberry.argument(description="Conditions.")
SORT_ORDER = strawberry.argument(description="Sort order; newest first when absent.")
WHAT_TO_CREATE = strawberry.argument(description="What to create.")
WHAT_TO_DO = strawberry.argument(description="What to do.")
TENANT = strawberry.argument(description="The tenant.")
LAST_SEEN = strawberry.argument(description="Cursor of the last entry seen.")
LAST_SEEN_OR_NOW = strawberry.argument(description="Cursor of the last entry seen; from now on when absent.")
FOLLOW = strawberry.argument(description="Stay after the run has ended, and go on with the tenant's next runs.")
