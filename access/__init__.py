"""Access management: principals, permissions, members, service accounts and sign-in."""
