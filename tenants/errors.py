"""Errors about callers, their keys and what is sealed for them.

crypto.errors.Error
└── TenantError
    ├── AuthenticationError     no key, a malformed key, or one that does not open the door
    ├── ScopeError              a good key without the scope that the call needs
    ├── QuotaError              a quota document with a field that is unknown, missing its type or out of range
    ├── KeyFormError            a key, key file or unseal share of the wrong form; nothing was changed
    ├── RandomnessError         the source of randomness failed or is stuck: nothing is minted or sealed
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


class QuotaError(TenantError):
    """A quota document cannot be used; *field* names the part to change (None: the whole is not an object)."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


class KeyFormError(TenantError):
    """A key, key file or unseal share has the wrong form; the message says what to change."""


class RandomnessError(TenantError):
    """The source of randomness failed, gave too little or is stuck; whatever needed it was not made."""


class SealedError(TenantError):
    """The key provider cannot unwrap data keys now; private reuse stops until it can."""


class UnsealError(TenantError):
    """A sealed value was changed, moved to another row or tenant, or its key was destroyed."""
