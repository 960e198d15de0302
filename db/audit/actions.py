"""Every kind of entry of the audit log, with the sentence that describes it."""

from __future__ import annotations

from db.core.lifecycles import State


class AuditAction(State):
    """What an entry of the audit log tells of."""

    SIGN_UP = "sign_up", "The account was opened."
    SIGN_IN = "sign_in", "Somebody signed in."
    SIGN_IN_FAILED = "sign_in_failed", "A sign-in failed."
    SIGN_IN_REFUSED = (
        "sign_in_refused",
        "The password was right, but nobody may sign in to the account.",
    )
    RATE_LIMITED = (
        "rate_limited",
        "Attempts to sign in, to sign up or to recover were refused: there were too many.",
    )
    SECOND_FACTOR_ASKED = (
        "second_factor_asked",
        "Somebody proved the first factor, and was asked for the second.",
    )
    SECOND_FACTOR_FAILED = "second_factor_failed", "A second factor was wrong."
    REAUTHENTICATED = "reauthenticated", "Somebody who was signed in proved again that they are."
    TOTP_ADDED = "totp_added", "An authenticator app was added."
    TOTP_REMOVED = "totp_removed", "The authenticator app was removed."
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed", "The recovery codes were made anew."
    RECOVERY_CODE_USED = "recovery_code_used", "A recovery code was used."
    SECOND_FACTORS_REMOVED = (
        "second_factors_removed",
        "The operator had the account ask for no second factor any more.",
    )
    PASSKEY_ADDED = "passkey_added", "A passkey was added."
    PASSKEY_REMOVED = "passkey_removed", "A passkey was removed."
    PASSKEY_REFUSED = "passkey_refused", "A passkey was refused: there seems to be a copy of it."
    SIGN_OUT = "sign_out", "A session was ended by its owner."
    SIGN_OUT_EVERYWHERE = "sign_out_everywhere", "All sessions were ended by their owner."
    REVOKE_SESSION = "revoke_session", "A session was ended from another one."
    REFRESH_TOKEN_REUSED = (
        "refresh_token_reused",
        "A used refresh token came back, so its session was ended.",
    )

    EMAIL_CONFIRMED = "email_confirmed", "The e-mail address was confirmed."
    EMAIL_CHANGED = "email_changed", "The e-mail address was changed."
    EMAIL_CHANGE_UNDONE = (
        "email_change_undone",
        "A change of the e-mail address was taken back, and all sessions ended.",
    )
    ADDED_FACTOR_UNDONE = (
        "added_factor_undone",
        "What was added to sign in with was taken back, and all sessions ended.",
    )
    EMAIL_FOLLOWED = "email_followed", "The e-mail address followed the one at a provider."
    EMAIL_SHARED_WITH_OLDER_ACCOUNT = (
        "email_shared_with_older_account",
        "The e-mail address turned out to be an older account's, which keeps it.",
    )
    PASSWORD_CHANGED = "password_changed", "The password was changed."
    PASSWORD_RESET = "password_reset", "The password was set anew with a code from an e-mail."
    IDENTITY_LINKED = "identity_linked", "An identity at a provider was linked."
    IDENTITY_UNLINKED = "identity_unlinked", "An identity at a provider was unlinked."
    UNCONFIRMED_ACCOUNT_CLAIMED = (
        "unconfirmed_account_claimed",
        "Who owns the e-mail address took over an account that had never confirmed it.",
    )
    CREATE_API_KEY = "create_api_key", "An API key was made."
    ROTATE_API_KEY = "rotate_api_key", "An API key was given a new secret."
    REVOKE_API_KEY = "revoke_api_key", "An API key was ended."
    CREATE_DEVELOPER_KEY = "create_developer_key", "A developer's key was made."
    REVOKE_DEVELOPER_KEY = "revoke_developer_key", "A developer's key was ended."
    DISCORD_SERVER_CLAIMED = "discord_server_claimed", "A server at Discord was claimed."
    DISCORD_SERVER_RELEASED = "discord_server_released", "A server at Discord was given up."
    API_KEY_USED = "api_key_used", "An API key was used for the first time in a day."

    ACCOUNT_LOCKED = "account_locked", "The account was locked, and all its sessions ended."
    ACCOUNT_UNLOCKED = "account_unlocked", "The account was unlocked."
    PROMOTE = "promote", "The account became an admin's."
    DEMOTE = "demote", "The account is no admin's any more, and its sessions ended."
    CREATE_USER = "create_user", "An admin or the operator opened the account."
    PASSWORD_SET = (
        "password_set",
        "An admin or the operator set the password, and all sessions and API keys ended.",
    )
    RESET_CODE_SENT = (
        "reset_code_sent",
        "An admin or the operator had a code for a new password mailed to the account's address.",
    )
    SESSIONS_ENDED = "sessions_ended", "An admin or the operator ended sessions."
    DELETE_USER = "delete_user", "An admin or the operator asked for the account's deletion."
    IMPORTED = "imported", "The account was brought from another service."
    MERGED = "merged", "A guest's account became a part of a member's."
    MERGE_GUEST = "merge_guest", "What a guest had came into the account."
    EXPORT_REQUESTED = "export_requested", "An archive of all data was asked for."
    DELETION_SCHEDULED = "deletion_scheduled", "The account's deletion was asked for."
    DELETION_CANCELLED = "deletion_cancelled", "The account's deletion was taken back."
    ACCOUNT_ERASED = "account_erased", "An account was deleted, with all that was its own."

    GRANT_CREDITS = "grant_credits", "Credits were given by an admin or the operator."
    REFUND_CREDITS = "refund_credits", "Credits were given back by the operator."
    TRANSFER_CREDITS = "transfer_credits", "Credits were moved by the operator."
    SET_UNLIMITED = "set_unlimited", "Unlimited credits were given or taken by the operator."

    CREDIT_USE = (
        "credit_use",
        "Credits were used: noted for the first time in an hour, as the ledger has each use.",
    )
    ANALYSIS = "analysis", "An analysis of a profile ended; the subject says how."
    SYNC = (
        "sync",
        "A device sent changes, or some of them were refused: each noted for the first time in "
        "an hour. The subject is the device's own id.",
    )
    PURCHASE = "purchase", "A payment succeeded or failed; the subject is who took it."

    REFUSE_REFERRAL = "refuse_referral", "A friend's code did not count: a device or a circle."
    REFUND_ORDER = "refund_order", "A payment was refunded by an admin."
    REPLAY_WEBHOOK = "replay_webhook", "A delivery was processed again for an admin."
    CHANGE_PLAN = "change_plan", "Another plan was chosen."
    CANCEL_PLAN = "cancel_plan", "The plan was cancelled: it ends with its period."
    RESUME_PLAN = "resume_plan", "What was cancelled or chosen was taken back."
    GIVE_PLAN = "give_plan", "A plan was given by an admin or the operator."

    START_RUN = "start_run", "A call was asked for, of a workflow."
    CREATE_STORE = "create_store", "A store was opened."
    CREATE_ORGANIZATION = "create_organization", "An organization was made."
    INVITE_MEMBER = "invite_member", "Somebody was invited to an organization."
    REVOKE_INVITATION = "revoke_invitation", "An invitation was taken back."
    ACCEPT_INVITATION = "accept_invitation", "An invitation was accepted."
    SET_MEMBER_ROLE = "set_member_role", "A member's role was changed."
    REMOVE_MEMBER = "remove_member", "A member was removed from an organization."
    LEAVE_ORGANIZATION = "leave_organization", "An organization was left."
    CREATE_SUBSCRIPTION = "create_subscription", "A subscription of an organization was begun."
    CHANGE_SUBSCRIPTION = "change_subscription", "A subscription of an organization was changed."
    CANCEL_SUBSCRIPTION = "cancel_subscription", "A subscription of an organization was cancelled."
    RESUME_SUBSCRIPTION = "resume_subscription", "A subscription of an organization goes on."
    SET_USAGE_RESET_DAY = (
        "set_usage_reset_day",
        "The day on which an organization's calls are counted from zero was set by the operator.",
    )
    DELETE_ORGANIZATION = "delete_organization", "The deletion of an organization was asked for."
    KEEP_ORGANIZATION = "keep_organization", "The deletion of an organization was taken back."
    TRANSFER_OWNERSHIP = "transfer_ownership", "An organization was given to another owner."

    RETRY_JOB = "retry_job", "A job that had been given up was tried again."
    SEND_NOTIFICATION = "send_notification", "A notification was sent to somebody."
    BROADCAST_NOTIFICATION = "broadcast_notification", "A notification was sent to many users."
    CANCEL_BROADCAST = "cancel_broadcast", "A notification to many users was stopped."
    SET_TOOL_ACTIVE = "set_tool_active", "A tool was switched on or off."
    SAVE_IN_CATALOG = (
        "save_in_catalog",
        "Something of the catalog was added or changed by an admin.",
    )
    REMOVE_FROM_CATALOG = "remove_from_catalog", "Something of the catalog was removed by an admin."
    SET_TRANSLATION = "set_translation", "A text was set or removed by an admin."
    ROTATE_VAULT = "rotate_vault", "What is sealed was sealed anew by another master key."
    READ_SECRETS = "read_secrets", "Secrets of the sealed file were read, by a process or a person."
    SET_SECRETS = "set_secrets", "Secrets of the sealed file were set or removed by the operator."
    SET_QUOTA = "set_quota", "A quota was set by the operator."
    SET_SWITCH = "set_switch", "A switch was turned for everybody by an admin or the operator."
