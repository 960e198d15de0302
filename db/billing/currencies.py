"""Which amounts of a currency each payment provider takes; amounts are hundredths of the currency.

Sources: https://docs.stripe.com/currencies and
https://developer.paypal.com/api/rest/reference/currency-codes/. `db/billing/currencies.sql` says
the same to the database.
"""

from __future__ import annotations

from collections.abc import Mapping

# Of these everybody pays whole units: they have no smaller one, or cards know none.
WHOLE = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
PAYPAL_WHOLE = frozenset({"HUF", "TWD"})
PAYPAL_TAKES = frozenset(
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN SEK SGD THB TWD "  # noqa: SIM905
    "USD".split()
)
WHOLE_STEP_CENTS = 100
# ISO 4217, without metals, funds, units of account and the codes for tests and for no currency.
CURRENCIES = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN "  # noqa: SIM905
    "BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD "
    "FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY "
    "KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP "
    "MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR "
    "RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT "
    "TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR "
    "ZMW ZWG".split()
)
# What Stripe charges at least, where it says so; a smaller price could be shown and never be paid.
_LEAST_CENTS: Mapping[str, int] = {
    "AED": 200,
    "CZK": 1_500,
    "DKK": 250,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17_500,
    "JPY": 5_000,
    "MXN": 1_000,
    "MYR": 200,
    "NOK": 300,
    "PLN": 200,
    "RON": 200,
    "SEK": 300,
    "THB": 1_000,
}
_LEAST_ELSEWHERE_CENTS = 50


def step_cents(provider: str, currency: str) -> int | None:
    """Of what every amount is a multiple at a provider; None for a currency that it refuses."""
    if provider == "paypal" and currency not in PAYPAL_TAKES:
        return None
    is_whole = currency in WHOLE or (provider == "paypal" and currency in PAYPAL_WHOLE)
    return WHOLE_STEP_CENTS if is_whole else 1


def store_step_cents(currency: str) -> int:
    """The same of what stores sell, which costs the same wherever it can be paid."""
    return step_cents("paypal", currency) or step_cents("stripe", currency) or 1


def least_price_cents(currency: str) -> int:
    """What something costs at least that is not free."""
    return max(_LEAST_CENTS.get(currency, _LEAST_ELSEWHERE_CENTS), store_step_cents(currency))
