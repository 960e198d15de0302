"""What provokes each error of stores and sales, for the tests of all errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from db.core.errors import DomainError, ErrorCode
from db.stores.tables import SellerAccount
from db.vault.sealing import Vault
from payments.onboarding import sellers_of
from payments.sandbox import SandboxProvider
from tests.fakes.dns import open_dns

ANSWERS_SECONDS = 5.0

NO_ID = UUID(int=1)
NEW_STORE = 'slug: "a-new-store", name: "Store", idempotencyKey: "store"'


async def new_store(stage: Any, owner_id: UUID | None = None) -> UUID:
    """A store of the user's, or of another's."""
    made: UUID = await stage.owner.fetchval(
        "insert into stores (user_id, slug, name) values ($1, $2, 'Store') returning id",
        owner_id or stage.actor.user_id,
        f"store-{uuid4()}",
    )
    return made


async def new_product(stage: Any, kind: str = "BOT", owner_id: UUID | None = None) -> str:
    """A product of a new store's that everybody sees; it costs nothing."""
    product_id, seller_id = str(uuid4()), owner_id or stage.actor.user_id
    await stage.owner.execute(
        "insert into products (id, name, kind, store_id, seller_id) values ($1, 'P', $2, $3, $4)",
        product_id,
        kind,
        await new_store(stage, seller_id),
        seller_id,
    )
    return f"product_{product_id}"


async def of_another(stage: Any) -> str:
    """A product of somebody else's."""
    other = await stage.owner.fetchval("insert into users default values returning id")
    return await new_product(stage, owner_id=other)


async def bought(stage: Any) -> str:
    """A product of somebody else's that the user has bought."""
    product_id = await of_another(stage)
    await stage.owner.execute(
        "insert into sales (product_id, product_name, buyer_id, amount_cents, fee_cents, seller_cents)"
        " values ($1, 'P', $2, 0, 0, 0)",
        product_id.removeprefix("product_"),
        stage.actor.user_id,
    )
    return product_id


async def new_file(stage: Any, *, is_ready: bool = True) -> str:
    """A file of a product of the user's."""
    product_id = (await new_product(stage)).removeprefix("product_")
    file_id = await stage.owner.fetchval(
        "insert into product_files (user_id, product_id, file_name, content_type, size_bytes)"
        " values ($1, $2, 'a.zip', 'application/zip', 1) returning id",
        stage.actor.user_id,
        product_id,
    )
    if is_ready:
        await stage.owner.execute(
            "update product_files set status = 'READY', path = id::text where id = $1", file_id
        )
    return f"productFile_{file_id}"


async def new_version(stage: Any) -> str:
    """A product of the user's with a version."""
    file_id = UUID((await new_file(stage)).removeprefix("productFile_"))
    product_id = await stage.owner.fetchval(
        "insert into product_versions (product_id, file_id, number, label, file_name, size_bytes)"
        " select product_id, id, 1, '1', 'a.zip', 1 from product_files where id = $1"
        " returning product_id",
        file_id,
    )
    return f"product_{product_id}"


async def new_code(stage: Any) -> str:
    """A discount code of the user's."""
    code_id = await stage.owner.fetchval(
        "insert into discount_codes (user_id, store_id, code, kind, percent)"
        " values ($1, $2, 'CODE', 'PERCENTAGE', 10) returning id",
        stage.actor.user_id,
        await new_store(stage),
    )
    return f"discountCode_{code_id}"


async def many_stores(stage: Any) -> str:
    for _ in range(20):
        await new_store(stage)
    return f"{{{NEW_STORE}}}"


async def store_key_again(stage: Any) -> str:
    given = f'slug: "s-{uuid4()}", name: "%s", idempotencyKey: "again"'
    assert await stage.codes("createStore", "{" + given % "One" + "}") == []
    return "{" + given % "Two" + "}"


def product_of(store_id: UUID, name: str = "P", key: str = "product") -> str:
    """The input of a new product."""
    return f'{{storeId: "store_{store_id}", name: "{name}", idempotencyKey: "{key}"}}'


async def many_products(stage: Any) -> str:
    store_id = await new_store(stage)
    await stage.owner.execute(
        "insert into products (id, name, kind, store_id, seller_id)"
        " select gen_random_uuid()::text, 'P', 'BOT', $1, $2 from generate_series(1, 1000)",
        store_id,
        stage.actor.user_id,
    )
    return product_of(store_id)


async def product_key_again(stage: Any) -> str:
    store_id = await new_store(stage)
    assert await stage.codes("createProduct", product_of(store_id)) == []
    return product_of(store_id, "Another")


async def empty_download(stage: Any) -> str:
    return f'{{id: "{await new_product(stage, "DOWNLOAD")}"}}'


async def last_of_a_product(stage: Any) -> str:
    """Licences are to be turned off of a product that hands nothing else out."""
    product_id = await new_product(stage, "DOWNLOAD")
    await stage.owner.execute(
        "update products set licences_enabled = true where id = $1",
        product_id.removeprefix("product_"),
    )
    return f'{{id: "{product_id}", licencesEnabled: false}}'


def file_of(product_id: str, size: int = 1) -> str:
    """The input of a new file."""
    return (
        f'{{productId: "{product_id}", fileName: "a.zip", contentType: "application/zip",'
        f" sizeBytes: {size}}}"
    )


async def full_of_files(stage: Any) -> str:
    product_id = await new_product(stage)
    await stage.uses("product_files", 2_000, 1)
    return file_of(product_id)


async def versioned(stage: Any) -> str:
    file_id = await new_file(stage)
    made = f'{{fileId: "{file_id}", label: "1"}}'
    assert await stage.codes("createProductVersion", made) == []
    return f'{{id: "{file_id}"}}'


async def many_versions(stage: Any) -> str:
    file_id = await new_file(stage)
    product_id = await stage.owner.fetchval(
        "select product_id from product_files where id = $1",
        UUID(file_id.removeprefix("productFile_")),
    )
    other = UUID((await new_file(stage)).removeprefix("productFile_"))
    await stage.owner.execute(
        "insert into product_versions (product_id, file_id, number, label, file_name, size_bytes)"
        " values ($1, $2, 200, '1', 'a', 1)",
        product_id,
        other,
    )
    return f'{{fileId: "{file_id}", label: "1"}}'


async def not_there_yet(stage: Any) -> str:
    return f'{{fileId: "{await new_file(stage, is_ready=False)}", label: "1"}}'


async def many_pictures(stage: Any) -> str:
    product_id = await new_product(stage)
    await stage.owner.execute(
        "insert into product_pictures (product_id, path, content_type, width_pixels, height_pixels,"
        " sort_order) select $1, gen_random_uuid()::text, 'image/jpeg', 1, 1, n"
        " from generate_series(1, 10) n",
        product_id.removeprefix("product_"),
    )
    return f'{{productId: "{product_id}", uploadId: "upload_{await stage.photo()}"}}'


async def priced(stage: Any) -> str:
    product_id = await of_another(stage)
    await stage.owner.execute(
        "select app.set_product_price($1, 500, 'USD')", product_id.removeprefix("product_")
    )
    return f'{{productId: "{product_id}"}}'


def code_of(store_id: UUID, code: str = "CODE", percent: int = 10) -> str:
    """The input of a new discount code."""
    return f'{{storeId: "store_{store_id}", code: "{code}", kind: PERCENTAGE, percent: {percent}}}'


async def many_codes(stage: Any) -> str:
    store_id = await new_store(stage)
    await stage.owner.execute(
        "insert into discount_codes (user_id, store_id, code, kind, percent)"
        " select $1, $2, 'CODE-' || n, 'PERCENTAGE', 10 from generate_series(1, 200) n",
        stage.actor.user_id,
        store_id,
    )
    return code_of(store_id)


async def own_store(stage: Any) -> str:
    return f'{{storeId: "store_{await new_store(stage)}"}}'


async def many_links(stage: Any) -> str:
    other = await stage.owner.fetchval("insert into users default values returning id")
    await stage.owner.execute(
        "with made as (insert into stores (user_id, slug, name)"
        " select $1, 'many-links-' || n, 'Store' from generate_series(1, 200) n returning id)"
        " insert into affiliate_links (user_id, store_id, code)"
        " select $2, id, left(md5(id::text), 10) from made",
        other,
        stage.actor.user_id,
    )
    return f'{{storeId: "store_{await new_store(stage, other)}"}}'


async def wrong_review(stage: Any) -> str:
    return f'{{productId: "{await bought(stage)}", rating: 6}}'


async def unconfirmed(stage: Any) -> str:
    await stage.owner.execute(
        "update users set email_confirmed_at = null where id = $1", stage.actor.user_id
    )
    return ""


class Sellers:
    """A provider's accounts of sellers that it refuses to keep."""

    def __init__(self, code: ErrorCode) -> None:
        self._code = code

    async def create_account(self, *_: Any, **__: Any) -> str:
        raise DomainError(self._code, "No.")

    async def account_page(self, *_: Any, **__: Any) -> str | None:
        raise DomainError(self._code, "No.")

    async def ask_account(self, *_: Any, **__: Any) -> tuple[Any, ...]:
        raise DomainError(self._code, "No.")

    reverse_transfer = return_transfer = account_page


class WillingSellers(Sellers):
    """A provider's accounts of sellers that are made for whoever asks."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.PROVIDER_FAILED)

    async def create_account(self, *_: Any, **__: Any) -> str:
        return f"acct_{uuid4().hex}"

    async def account_page(self, *_: Any, **__: Any) -> str | None:
        return "https://connect.example.test"


def willing_seller(services: Any) -> None:
    """Has a provider keep accounts of sellers."""
    provider: Any = SandboxProvider("secret", "http://localhost")
    provider.sellers = WillingSellers()
    services.of(sellers_of).inbox.providers["paypal"] = provider


def at_unwilling(code: ErrorCode) -> Any:
    """A store at a provider that keeps no accounts."""

    async def provoke(stage: Any) -> str:
        provider: Any = SandboxProvider("secret", "http://localhost")
        provider.sellers = Sellers(code)
        providers: Any = stage.services.of(sellers_of).inbox.providers
        providers["paypal"] = provider
        store_id, account_id = await new_store(stage), uuid4()
        sealed = Vault.of(stage.services).seal(SellerAccount.sealed_account, account_id, "acct")
        await stage.owner.execute(
            "insert into seller_accounts (id, store_id, provider, sealed_account, account_index)"
            " values ($1, $2, 'paypal', $3, $4)",
            account_id,
            store_id,
            sealed,
            account_id.bytes,
        )
        return f'{{storeId: "store_{store_id}", provider: "paypal"}}'

    return provoke


async def without_domain(stage: Any) -> str:
    """A store that names none."""
    return f'{{storeId: "store_{await new_store(stage)}"}}'


def domain_that_says(code: int) -> Callable[[Any], Awaitable[str]]:
    """A store whose domain's name servers answer so: 0 without a record, 2 that they failed."""

    async def provoke(stage: Any) -> str:
        transport, server = await open_dns()
        asyncio.get_running_loop().call_later(ANSWERS_SECONDS, transport.close)
        server.code = code
        stage.services.settings.dns_servers[:] = [server.address]
        store_id = await new_store(stage)
        await stage.owner.execute(
            "update stores set custom_domain = 'a.example', custom_domain_status = 'PENDING'"
            " where id = $1",
            store_id,
        )
        return f'{{storeId: "store_{store_id}"}}'

    return provoke


_NO_STORE, _NO_PRODUCT = f"store_{NO_ID}", f"product_{NO_ID}"
_PAID_NOWHERE = {
    "NOT_FOUND": f'{{storeId: "{_NO_STORE}", provider: "paypal"}}',
    "PROVIDER_NOT_CONFIGURED": f'{{storeId: "{_NO_STORE}", provider: "sandbox"}}',
    "PROVIDER_REFUSED": at_unwilling(ErrorCode.PROVIDER_REFUSED),
    "PROVIDER_FAILED": at_unwilling(ErrorCode.PROVIDER_FAILED),
}


async def no_such_store(stage: Any) -> str:
    """Somebody else's store, at a provider that keeps accounts."""
    await at_unwilling(ErrorCode.PROVIDER_REFUSED)(stage)
    return str(_PAID_NOWHERE["NOT_FOUND"])


PROVOKED: dict[str, dict[str, Any]] = {
    "saveCreatorProfile": {"BAD_USER_INPUT": '{contactEmail: "nobody"}'},
    "createStore": {
        "BAD_USER_INPUT": f"{{{NEW_STORE.replace('a-new-store', '-')}}}",
        "LIMIT_EXCEEDED": many_stores,
        "IDEMPOTENCY_CONFLICT": store_key_again,
    },
    "updateStore": {
        "BAD_USER_INPUT": f'{{id: "{_NO_STORE}", slug: "-"}}',
        "NOT_FOUND": f'{{id: "{_NO_STORE}", name: "Mine"}}',
    },
    "verifyCustomDomain": {
        "NOT_FOUND": f'{{storeId: "{_NO_STORE}"}}',
        "INVALID_STATE": without_domain,
        "PROVIDER_REFUSED": domain_that_says(0),
        "PROVIDER_FAILED": domain_that_says(2),
    },
    "setStorePicture": {
        "NOT_FOUND": f'{{storeId: "{_NO_STORE}", kind: LOGO, uploadId: "upload_{NO_ID}"}}'
    },
    "removeStorePicture": {"NOT_FOUND": f'{{storeId: "{_NO_STORE}", kind: BANNER}}'},
    "onboardSeller": _PAID_NOWHERE
    | {
        "NOT_FOUND": no_such_store,
        "BAD_USER_INPUT": f'{{storeId: "{_NO_STORE}", returnUrl: "javascript:alert(1)"}}',
        "REDIRECT_NOT_ALLOWED": f'{{storeId: "{_NO_STORE}", returnUrl: "app://evil"}}',
    },
    "refreshSeller": _PAID_NOWHERE | {"NOT_FOUND": no_such_store},
    "createProduct": {
        "BAD_USER_INPUT": product_of(NO_ID, ""),
        "NOT_FOUND": product_of(NO_ID),
        "LIMIT_EXCEEDED": many_products,
        "IDEMPOTENCY_CONFLICT": product_key_again,
    },
    "updateProduct": {
        "BAD_USER_INPUT": f'{{id: "{_NO_PRODUCT}", name: ""}}',
        "NOT_FOUND": f'{{id: "{_NO_PRODUCT}", name: "Mine"}}',
        "INVALID_STATE": last_of_a_product,
    },
    "publishProduct": {
        "NOT_FOUND": f'{{id: "{_NO_PRODUCT}"}}',
        "INVALID_STATE": empty_download,
    },
    "archiveProduct": {"NOT_FOUND": f'{{id: "{_NO_PRODUCT}"}}'},
    "createProductFile": {
        "BAD_USER_INPUT": file_of(_NO_PRODUCT, 0),
        "NOT_FOUND": file_of(_NO_PRODUCT),
        "QUOTA_EXCEEDED": full_of_files,
    },
    "deleteProductFile": {
        "NOT_FOUND": f'{{id: "productFile_{NO_ID}"}}',
        "INVALID_STATE": versioned,
    },
    "createProductVersion": {
        "BAD_USER_INPUT": f'{{fileId: "productFile_{NO_ID}", label: ""}}',
        "NOT_FOUND": f'{{fileId: "productFile_{NO_ID}", label: "1"}}',
        "UPLOAD_MISSING": not_there_yet,
        "LIMIT_EXCEEDED": many_versions,
    },
    "addProductPicture": {
        "NOT_FOUND": f'{{productId: "{_NO_PRODUCT}", uploadId: "upload_{NO_ID}"}}',
        "LIMIT_EXCEEDED": many_pictures,
    },
    "removeProductPicture": {"NOT_FOUND": f'{{id: "productPicture_{NO_ID}"}}'},
    "downloadProduct": {"NOT_FOUND": f'{{productId: "{_NO_PRODUCT}"}}'},
    "obtainProduct": {
        "BAD_USER_INPUT": '{productId: "credits-50"}',
        "NOT_FOUND": f'{{productId: "{_NO_PRODUCT}"}}',
        "INVALID_STATE": priced,
    },
    "claimPurchases": {"EMAIL_NOT_CONFIRMED": unconfirmed},
    "createAffiliateLink": {
        "NOT_FOUND": f'{{storeId: "{_NO_STORE}"}}',
        "INVALID_STATE": own_store,
        "LIMIT_EXCEEDED": many_links,
    },
    "createDiscountCode": {
        "BAD_USER_INPUT": code_of(NO_ID, "!"),
        "NOT_FOUND": code_of(NO_ID),
        "LIMIT_EXCEEDED": many_codes,
    },
    "updateDiscountCode": {
        "BAD_USER_INPUT": f'{{id: "discountCode_{NO_ID}", usageLimit: 0}}',
        "NOT_FOUND": f'{{id: "discountCode_{NO_ID}", isActive: false}}',
    },
    "saveReview": {
        "BAD_USER_INPUT": wrong_review,
        "NOT_FOUND": f'{{productId: "{_NO_PRODUCT}", rating: 5}}',
    },
    "deleteReview": {"NOT_FOUND": f'{{id: "review_{NO_ID}"}}'},
}
