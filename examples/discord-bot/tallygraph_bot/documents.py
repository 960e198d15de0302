"""What the bot sends to Tallygraph."""

from __future__ import annotations

_ERRORS = "errors { code message path }"
_PRODUCT = (
    "id serverId name roleId redemptionMessage robloxGroupId licensedProductId payhipKey robloxKey"
)
_PERMISSION = "id commandName allowedRoleIds requireAdmin enabled"

GUILD = f"""query($guild: String!) {{ guild(guildId: $guild) {{ id claimedAt
  products(first: 100) {{ nodes {{ {_PRODUCT} }} }}
  permissions(first: 100) {{ nodes {{ {_PERMISSION} }} }} }} }}"""
PRODUCT = f"""query($id: ID!) {{ node(id: $id) {{ ... on BotProduct {{ {_PRODUCT} }} }} }}"""
# What somebody has of a server's products.
HELD = """query($guild: String!, $who: String!) { guild(guildId: $guild) {
  products(first: 100) { nodes { name roleId
    whitelist(first: 1, where: {discordId: {eq: $who}}) { nodes { status } } } } } }"""
SERVER = "query($id: ID!) { discordServer(id: $id) { guildId } }"
LIST = """query($id: ID!, $after: Cursor) { node(id: $id) { ... on BotProduct {
  whitelist(first: 10, after: $after) { nodes { discordId discordUsername status }
    pageInfo { hasNextPage endCursor } } } } }"""
REGISTER = f"""mutation($input: RegisterDiscordServersInput!) {{
  done: registerDiscordServers(input: $input) {{ servers {{ guildId id }} {_ERRORS} }} }}"""
LEAVE = f"""mutation($input: LeaveDiscordServersInput!) {{
  done: leaveDiscordServers(input: $input) {{ leftIds {_ERRORS} }} }}"""
LINK = f"""mutation($input: LinkDiscordServerInput!) {{
  done: linkDiscordServer(input: $input) {{ serverId {_ERRORS} }} }}"""
CONFIGURE = f"""mutation($input: ConfigureDiscordServerInput!) {{
  done: configureDiscordServer(input: $input) {{ server {{ id }} {_ERRORS} }} }}"""
REMOVE = f"""mutation($input: RemoveBotProductInput!) {{
  done: removeBotProduct(input: $input) {{ removedId {_ERRORS} }} }}"""
REDEEM = f"""mutation($input: RedeemBotKeyInput!) {{
  done: redeemBotKey(input: $input) {{ user {{ id discordId }} {_ERRORS} }} }}"""
SYNC = f"""mutation($input: SyncBotWhitelistInput!) {{
  done: syncBotWhitelist(input: $input) {{ accepted {{ discordId outcome }} cursor hasMore
    changes {{ productId discordId status }} {_ERRORS} }} }}"""

# Each stream has a cursor of its own; `item` is what it is made of.
STREAMS = {
    "servers": """subscription($after: Cursor) {
      item: discordServersChanged(after: $after) { cursor } }""",
    "products": """subscription($after: Cursor) {
      item: botProductsChanged(after: $after) { cursor } }""",
    "permissions": """subscription($after: Cursor) {
      item: botCommandPermissionsChanged(after: $after) { cursor } }""",
    "whitelist": """subscription($after: Cursor) { item: botWhitelistChanged(after: $after) {
      cursor user { productId discordId status } } }""",
}
