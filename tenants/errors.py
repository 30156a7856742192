"""Errors about callers, their keys and what is sealed for them.

    crypto.errors.Error
    └── TenantError
        ├── AuthenticationError     no key, a malformed key, or one that does not open the door
        ├── ScopeError              a good key without the scope that the call needs
        ├── SealedError             the key-encryption key is absent or wrong: nothing can be opened
        └── UnsealError             one sealed value does not open under this tenant, entry and version
"""

from __future__ import annotations

from crypto.errors import Error


class TenantError(Error):
    """Root of the errors of `tenants`."""


class AuthenticationError(TenantError):
    """The caller did not show a key that is valid now."""


class ScopeError(TenantError):
    """The caller's key is valid but lacks the scope *needed*."""

    def __init__(self, needed: str) -> None:
        super().__init__(f"this key lacks the scope {needed!r}; ask a tenant admin for a key that has it")
        self.needed = needed


class SealedError(TenantError):
    """The key provider cannot unwrap data keys now; private reuse stops until it can."""


class UnsealError(TenantError):
    """A sealed value was changed, moved to another row or tenant, or its key was destroyed."""
